"""A small grammar of English that turns slots into sentences, in the surface form of the E2E data.

A `Domain` (see quickstart_domains.py) lists the slots of one kind of things and the wordings of each value.
`describe` plans a text from them: a wording for every slot, an opening, further sentences. Options stand in
order of use, each half as likely as the one before it, so that texts vary and yet have a most likely wording.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

T = TypeVar("T")
Facts = dict[str, str]  # slot -> value in the domain's order, `name` first


@dataclass(frozen=True)
class Domain:
    """One kind of things: the patterns of their names, their noun, and slot -> values -> wordings."""

    noun: str
    name: str
    slots: dict[str, dict[str, str]]


@dataclass
class Pieces:
    """What a text has still to say."""

    name: str
    noun: str
    before: list[str]
    after: list[str]
    verbs: list[str]
    clauses: list[str]

    def place_of(self, wording: str) -> list[str]:
        """Where a wording belongs, by its form."""
        if "~" in wording:
            return self.after if wording.startswith("~") else self.before
        return self.verbs if wording.startswith("it ") else self.clauses

    def thing(self, article: str = "a") -> str:
        """The noun phrase with its adjectives and phrases: "a cheap hotel in the old town"."""
        after = " ".join(self.after)
        if len(self.after) == 2 and all(phrase.startswith("with ") for phrase in self.after):
            after = f"{self.after[0]} and {self.after[1].removeprefix('with ')}"
        words = " ".join(filter(None, [*self.before, self.noun, after]))
        return f"an {words}" if article == "a" and words[0] in "aeiou" else f"{article} {words}"


def options(text: str) -> list[str]:
    """The parts of "a / b / c"; of an empty text none."""
    return text.split(" / ") if text else []


def pick(choices: Sequence[T], rng: Random) -> T:
    """One of the choices, each half as likely as the one before it."""
    return rng.choices(choices, weights=[2.0**-i for i in range(len(choices))])[0]


def capitalized(text: str) -> str:
    """The text with a capital first letter, the rest untouched."""
    return text[0].upper() + text[1:]


# --- facts: which slots, with which values ---------------------------------------------------------------


def words(text: str) -> list[str]:
    """The words of a list in a string."""
    return text.split()


def numbers(*bounds: int) -> list[str]:
    """range(*bounds) as text."""
    return [str(number) for number in range(*bounds)]


OPEN_CLASSES: dict[str, list[str]] = {  # members are equally likely, and may be patterns themselves
    "stem": words(
        "Ash Birk Cald Dun El Far Glen Har Ing Kel Lang Mar Nor Os Pen Rad Sel Thorn Ul Wes Brad Cor Hol Stan"
    ),
    "ending": words("by ton ford wick ham field mouth worth ley stead bury dale"),
    "place": ["<stem><ending>"],
    "forename": words(
        "Ada Ben Clara David Emma Felix Grace Hugo Iris Jack Karen Leo Mia Noah Olga Paul Rosa Sam Tara Vera"
    ),
    "person": ["<forename> <place>"],
    "colour": words(
        "Copper Silver Golden Red Blue Green White Black Amber Scarlet Silent Broken Hidden Old Lost Distant"
    ),
    "thing": words(
        "River Garden House Tower Harbour Forest Bridge Lantern Crown Anchor Mirror Island Meadow Mill Swan "
        "Fox Rose Oak Star Wheel Bell Arrow Feather Castle Winter Summer Morning Night Letter Ocean"
    ),
    "title": [
        "The <colour> <thing>",
        "<colour> <thing>",
        "<thing> of <place>",
        "The <thing> and the <thing>",
    ],
    "subject": words(
        "art science history travel music nature transport railway maritime folk wine garden toy fashion "
        "film sea war language health cooking law money"
    ),
    "kind": words("old new small large modern wooden Roman model steam silver stone Greek paper dinosaur"),
    "ware": words(
        "coins maps engines ships bones paintings clocks toys lamps knives boxes books letters tools shoes "
        "flowers dolls chairs stones hats cups trains bicycles pots"
    ),
    "goods": ["<kind> <ware>"],
    "day": words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday"),
    "year": numbers(1850, 2025),
    "recent": numbers(1995, 2025),
    "tens": numbers(20, 200, 10),
    "few": numbers(2, 20),
}


def fill(pattern: str, rng: Random) -> str:
    """Replace every `<class>` in the pattern by a member of that class, filled in its turn."""
    return re.sub(r"<(\w+)>", lambda match: fill(rng.choice(OPEN_CLASSES[match[1]]), rng), pattern)


def draw_facts(domain: Domain, rng: Random) -> Facts:
    """A new thing of this domain: a name, and values for two to five of its slots."""
    chosen = rng.sample(list(domain.slots), rng.randint(2, min(5, len(domain.slots))))
    facts = {"name": fill(rng.choice(options(domain.name)), rng)}
    for slot, wordings in domain.slots.items():
        if slot in chosen:
            values = [value for group in wordings for value in options(group)]
            facts[slot] = fill(rng.choice(values), rng)
    return facts


def context(facts: Facts) -> str:
    """The left side of an E2E row: "name : X | area : Y"."""
    return " | ".join(f"{slot} : {value}" for slot, value in facts.items())


# --- text: how the facts are said -------------------------------------------------------------------------


def wordings_of(value: str, slot: dict[str, str]) -> list[str]:
    """The wordings for this value: those of the values that list it, else those of the open class."""
    listed = (wordings for values, wordings in slot.items() if value in options(values))
    return options(next(listed, None) or next(wordings for values, wordings in slot.items() if "<" in values))


def gather(domain: Domain, facts: Facts, rng: Random) -> Pieces:
    """Choose how every slot is said; a noun phrase has room for two adjectives and two phrases."""
    pieces = Pieces(facts["name"], pick(options(domain.noun), rng), [], [], [], [])
    for slot, value in list(facts.items())[1:]:
        wordings = wordings_of(value, domain.slots[slot])
        fitting = [wording for wording in wordings if len(pieces.place_of(wording)) < 2 or "~" not in wording]
        wording = pick(fitting, rng)
        pieces.place_of(wording).append(
            wording.removeprefix("~ ").removesuffix(" ~").removeprefix("it ").format(value)
        )
    if rng.random() < 0.2:
        rng.shuffle(pieces.verbs)
    return pieces


def say_is(pieces: Pieces, rng: Random) -> str:
    """'X is a cheap hotel in Ashby that has a pool'."""
    sentence = f"{pieces.name} is {pieces.thing()}"
    bare = not pieces.before and not pieces.after
    if pieces.verbs and (bare or len(pieces.verbs) == 1 or rng.random() < 0.4):
        sentence += pick([" that ", " , which ", " and "], rng) + pieces.verbs.pop(0)
    return sentence


def say_does(pieces: Pieces, rng: Random) -> str:
    """'X , a cheap hotel in Ashby , has a pool and serves breakfast' or 'The cheap hotel X has a pool'."""
    if not pieces.verbs:
        return say_is(pieces, rng)
    subject = f"{pieces.name} , {pieces.thing()} ,"
    if not pieces.after:
        subject = f"{capitalized(pieces.thing('the'))} {pieces.name}"
    sentence = f"{subject} {pieces.verbs.pop(0)}"
    return f"{sentence} and {pieces.verbs.pop(0)}" if pieces.verbs and rng.random() < 0.6 else sentence


def say_there_is(pieces: Pieces, rng: Random) -> str:
    """'There is a cheap hotel called X' or 'In Ashby there is a cheap hotel called X , which has a pool'."""
    start = "There is"
    if pieces.after and pieces.after[0].split()[0] in ("in", "near", "on") and rng.random() < 0.6:
        start = f"{capitalized(pieces.after.pop(0))} there is"
    sentence = f"{start} {pieces.thing()} called {pieces.name}"
    return f"{sentence} , which {pieces.verbs.pop(0)}" if pieces.verbs and rng.random() < 0.6 else sentence


def describe(domain: Domain, facts: Facts, rng: Random) -> str:
    """A text of one to four sentences that says every fact once."""
    pieces = gather(domain, facts, rng)
    sentences = [pick([say_is, say_does, say_there_is], rng)(pieces, rng)]
    while pieces.verbs:
        said, pieces.verbs = pieces.verbs[:2], pieces.verbs[2:]
        sentences.append("It " + " and ".join(said))
    while pieces.clauses:
        said, pieces.clauses = pieces.clauses[:2], pieces.clauses[2:]
        sentences.append(capitalized(" and ".join(said)))
    return " . ".join(sentences) + " ."

"""Penn Treebank tokens as the captioning scorers make them, without Java.

The official E2E scorer runs Stanford's PTBTokenizer 3.4.1 with `-preserveLines -lowerCase` and drops a list
of punctuation tokens before METEOR, ROUGE-L and CIDEr. That list holds `-LRB-`, but the text has been
lower-cased by then, so brackets stay, as `-lrb-`. This is the part of Stanford's lexer that such text
needs: the same tokens on every line of the E2E test set, and on 99.8 % of those of WebNLG and DART. nltk's
Treebank tokeniser leaves full stops within a line at their word: 2 points of ROUGE-L on E2E.
"""

from __future__ import annotations

import re

SIGNATURE = "ptb-py"  # the tokeniser's name in a signature

_DROPPED = frozenset(
    ["''", "'", "``", "`", '"', ".", "?", "!", ",", ":", "-", "--", "\u2013", "\u2014", "...", ";"]
)
_SPELLING = {
    "(": "-lrb-",
    ")": "-rrb-",
    "[": "-lsb-",
    "]": "-rsb-",
    "{": "-lcb-",
    "}": "-rcb-",
    "£": "#",
    "&amp;": "&",
}

_ABBREVIATION = (
    "jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thur thurs fri "
    "mr mrs ms messrs dr drs prof rev hon gen col lt sgt capt cmdr maj gov sen rep pres st mt ft jr sr bros "
    "inc corp co cos ltd plc univ dept assn intl vs etc al tel ave blvd rd pp cf ph esq "
    "ala ariz calif colo conn ill ind kan ky mass mich minn nev okla penn tenn tex va wis"
).replace(" ", "|")
_WORD = r"[\w\u0300-\u036f]+"  # with combining accents
_TOKEN = re.compile(
    rf"""
      https?://\S+ | [\w.+-]+@[\w-]+(?:\.[\w-]+)+                    # addresses
    | \.\.\.
    | (?:[^\W\d_]\.){{2,}}(?!\w) | [^\W\d_]\.(?!\w|\s+the\b)        # acronyms (U.S.) and initials
    | (?:{_ABBREVIATION})\.(?!\w) | no\.(?=\s*\d) | {_WORD}\.(?=[,;:])
    | \d+/\d+(?:/\d+)?(?!\w)                                          # fractions and dates
    | can(?=not\b) | gon(?=na\b) | wan(?=na\b) | got(?=ta\b)
    | [^\W_]+?(?=n't\b) | n't\b | '(?:s|m|d|re|ve|ll|n|em|tis|twas)\b
    | o'clock\b | y'all\b | [dol]'{_WORD}(?:-{_WORD})*                # hors d'oeuvre
    | {_WORD}(?:[.,]\d+)*(?:-{_WORD}(?:[.]\d+)*)+                     # inner hyphens: five-star, 20-25
    | (?<!\w)[-+]?\d*(?:[.,:]\d+)+ | (?<!\w)[-+]\d+(?!\w)             # numbers
    | {_WORD}(?:[./]{_WORD})*                                         # no space at the full stop: area.It
    | &amp; | --+ | \S
    """,
    re.VERBOSE,
)


def ptb_tokens(text: str) -> list[str]:
    """The lower-cased Treebank tokens of one line, less the punctuation that the scorers drop."""
    tokens = (_SPELLING.get(t, t) for t in _TOKEN.findall(text.lower().replace("\u2019", "'")))
    return [t for t in tokens if t not in _DROPPED]

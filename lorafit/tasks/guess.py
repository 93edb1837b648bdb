"""What a file of rows is probably for: its columns -> the keys of `[task]`, each with the reason."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from lorafit.data.cells import name_of, number_of, shown_names
from lorafit.data.rows import RawRow
from lorafit.errors import Advice, DataError
from lorafit.tasks.messages import parse_messages

_MAX_CLASSES = 50
_CLASS_WORDS = 4  # words of a class's name, on average at most
_LOOKED_AT = 50  # cells that tell whether a column holds conversations
_LABEL_NAMES = (
    "label", "labels", "class", "classes", "category", "stars", "rating", "score", "sentiment", "intent", "topic",
    "target", "y", "gold_label", "grade", "emotion", "polarity", "answer", "similarity",
)  # fmt: skip
_INDEX_NAMES = {
    "id", "idx", "index", "key", "uuid", "guid", "url", "link", "date", "time", "timestamp", "line", "row",
}  # fmt: skip
_PROMPT_NAMES = (
    "prompt", "instruction", "question", "query", "input", "source", "context", "mr", "document", "article",
)  # fmt: skip
_COMPLETION_NAMES = (
    "completion", "response", "answer", "output", "target", "reply", "ref", "reference", "summary", "highlights",
    "chosen",
)  # fmt: skip
_PAIRS = (
    ("premise", "hypothesis"), ("question", "sentence"), ("question", "passage"), ("question", "answer"),
    ("query", "passage"), ("query", "document"), ("first", "second"),
)  # fmt: skip
_NUMBERED = re.compile(r"(.*?)[ _-]?([12ab])", re.IGNORECASE)


class Column:
    """A column of the sample: `values` are the cells that are not empty, of `num_rows`."""

    def __init__(self, name: str, values: Sequence[object], num_rows: int) -> None:
        self.name, self.values, self.num_rows = name, values, num_rows

    @cached_property
    def names(self) -> Counter[str]:
        """The cells as names of classes, with how often each occurs; empty where a cell is no name."""
        try:
            return Counter(name_of(value) for value in self.values)
        except ValueError:
            return Counter()

    @cached_property
    def numbers(self) -> list[float]:
        """The cells as numbers; empty where one is none."""
        found = [number_of(value) for value in self.values]
        return [] if None in found else [float(number) for number in found if number is not None]

    @property
    def num_words(self) -> float:
        """Words of a cell, on average; 0 where a cell is no text."""
        texts = [value for value in self.values if isinstance(value, str)]
        return (
            sum(len(text.split()) for text in texts) / len(texts) if len(texts) == len(self.values) else 0.0
        )

    @property
    def is_index(self) -> bool:
        """Whether it only tells rows apart."""
        words = set(re.split(r"[ _-]", self.name.lower()))
        is_counter = self.numbers == sorted(set(self.numbers)) and len(self.numbers) > 2 and self.is_whole
        return bool(words & _INDEX_NAMES) or self.name == "" or is_counter

    @property
    def is_whole(self) -> bool:
        """Whether it holds whole numbers."""
        return bool(self.numbers) and all(number.is_integer() for number in self.numbers)

    @property
    def is_text(self) -> bool:
        """Whether people would read it: words, and not the same few over and over."""
        if self.numbers or self.is_index or not self.num_words:
            return False
        return self.num_words > _CLASS_WORDS or (
            self.num_words >= 1.5 and len(self.names) > len(self.values) / 2
        )

    @property
    def is_classes(self) -> bool:
        """Whether it holds few different names, each in several rows."""
        is_few = 2 <= len(self.names) <= min(_MAX_CLASSES, max(len(self.values) // 2, 2))
        return is_few and not self.is_index and not self.is_text and (self.is_whole or not self.numbers)

    @property
    def is_score(self) -> bool:
        """Whether it holds numbers that measure something."""
        return len(set(self.numbers)) > 1 and not self.is_index

    @cached_property
    def is_conversations(self) -> bool:
        """Whether most cells are conversations."""
        looked_at = self.values[:_LOOKED_AT]
        return 2 * sum(map(_is_conversation, looked_at)) > len(looked_at)

    @cached_property
    def listed(self) -> Counter[str]:
        """The names in cells that are lists, with how often each occurs; empty where a cell is none."""
        try:
            return Counter(name_of(name) for value in self.values for name in _as_list(value))
        except ValueError:
            return Counter()

    @property
    def is_lists(self) -> bool:
        """Whether it holds lists of few different names, each in several rows."""
        count = sum(self.listed.values())
        return not self.is_conversations and 2 <= len(self.listed) <= min(_MAX_CLASSES, max(count // 2, 2))

    @property
    def called_label(self) -> bool:
        """Whether its name says that it is what is to be learned."""
        return self.name.lower() in _LABEL_NAMES


Ask = Callable[[str, Sequence[str]], str]
"""(what is to be chosen, the possible values, the best one first) -> the one to take."""


def take_the_best(question: str, options: Sequence[str]) -> str:
    """Nobody is asked."""
    del question
    return options[0]


@dataclass(frozen=True)
class Guess:
    """Keys of `[task]`, the reason of each, and what else could have been meant."""

    task: Mapping[str, object]
    reasons: Mapping[str, str]
    doubts: Sequence[str] = field(default_factory=list)


def columns_of(rows: Iterable[RawRow]) -> list[Column]:
    """The columns of a sample, in the order in which they appear."""
    cells: dict[str, list[object]] = {}
    num_rows = 0
    for row in rows:
        num_rows += not row.fault
        for name, value in row.fields.items():
            cells.setdefault(name, []).extend([] if value is None or value == "" else [value])
    return [Column(name, values, num_rows) for name, values in cells.items()]


def guess_task(columns: Sequence[Column], ask: Ask = take_the_best) -> Guess:
    """The likeliest task. Raises DataError where nothing fits."""
    possible = _possible(columns)
    if not possible:
        raise DataError(
            f"nothing to learn is seen in the columns {shown_names(column.name for column in columns)}: neither texts "
            f"nor conversations",
            Advice("write the [task] section by hand, from one of the recipes that begin with own_"),
        )
    kind = ask("task", list(possible))
    task, reasons, doubts = _GUESSES[kind](columns, ask)
    others = [f"{name}: {reason}" for name, reason in possible.items() if name != kind]
    return Guess({"name": kind, **task}, {"name": possible[kind], **reasons}, [*others, *doubts])


def _possible(columns: Sequence[Column]) -> dict[str, str]:
    """Kinds of task, the likeliest first, each with the reason."""
    texts = [column for column in columns if column.is_text]
    found: dict[str, str] = {}
    if talks := [column for column in columns if column.is_conversations]:
        found["chat"] = f"column {talks[0].name} holds conversations"
        texts = [column for column in texts if column not in talks]
    if texts and (lists := [column for column in columns if column.is_lists]):
        found["multilabel"] = f"column {lists[0].name} holds lists of {len(lists[0].listed)} different values"
    if pair := _prompt_and_completion(columns):
        found["generation"] = f"columns {_and(pair[0])} and {pair[1].name} by their names"
    if texts and (labels := _labels(columns)):
        best = labels[0]
        what = f"column {best.name} has {len(best.names):,} different values"
        if best.is_classes:
            found["classification"] = what
        if best.is_score:
            found["regression"] = f"column {best.name} holds numbers"
        if pair and best.called_label and best is not pair[1]:
            found["generation"] = found.pop("generation")  # behind the others
    if len(texts) > 1 and not found:
        found["generation"] = f"columns {texts[0].name} and {texts[1].name} hold texts, and none holds labels"
    if len(texts) == 1 and not found:
        found["text"] = f"column {texts[0].name} holds texts, and nothing stands beside them"
    return found


def _labels(columns: Sequence[Column]) -> list[Column]:
    """What could be the label, the likeliest first: by its name, then classes before numbers, then the last column."""
    able = [column for column in columns if column.is_classes or column.is_score]
    last_first = able[::-1]
    return sorted(last_first, key=lambda column: (not column.called_label, not column.is_classes))


def _label_task(
    columns: Sequence[Column], ask: Ask, kind: str
) -> tuple[dict[str, object], dict[str, str], list[str]]:
    able = [c for c in _labels(columns) if (c.is_classes if kind == "classification" else c.is_score)]
    label = _chosen("label", able, ask)
    texts = sorted((c for c in columns if c.is_text and c is not label), key=lambda c: -c.num_words)
    pair = _pair(columns, label)
    options = [", ".join(p.name for p in pair)] if pair else []
    options += [column.name for column in texts]
    if len(texts) == 2 and not pair:
        options.append(", ".join(column.name for column in columns if column in texts))
    answer = ask("text", options)
    text: object = tuple(answer.split(", ")) if answer not in {c.name for c in texts} else answer
    reason = (
        "a pair, by the names"
        if pair and answer == options[0]
        else f"{texts[0].num_words:.0f} words on average"
    )
    doubts = [f"text: {other}" for other in options if other != answer]
    doubts += [f"label: {other.name}" for other in able if other is not label]
    values = shown_names(sorted(label.names)[:8])
    more = ", …" if len(label.names) > 8 else ""
    of_label = (
        f"{len(label.names)} classes: {values}{more}" if kind == "classification" else _span(label.numbers)
    )
    return {"text": text, "label": label.name}, {"text": reason, "label": of_label}, doubts


def _lists_task(columns: Sequence[Column], ask: Ask) -> tuple[dict[str, object], dict[str, str], list[str]]:
    able = [column for column in columns if column.is_lists]
    label = _chosen("label", sorted(able, key=lambda column: not column.called_label), ask)
    texts = sorted((c for c in columns if c.is_text and c is not label), key=lambda c: -c.num_words)
    text = _chosen("text", texts, ask)
    doubts = [f"text: {other.name}" for other in texts if other is not text]
    doubts += [f"label: {other.name}" for other in able if other is not label]
    reasons = {"text": f"{text.num_words:.0f} words on average"}
    reasons["label"] = f"any of {shown_names(sorted(label.listed)[:8])}{', …' * (len(label.listed) > 8)}"
    return {"text": text.name, "label": label.name}, reasons, doubts


def _generation(columns: Sequence[Column], ask: Ask) -> tuple[dict[str, object], dict[str, str], list[str]]:
    texts = [column for column in columns if column.is_text]
    prompts, completion = _prompt_and_completion(columns) or ([texts[0]], texts[1])
    names = [column.name for column in columns if not column.is_index]
    answer = ask("completion", [completion.name, *(name for name in names if name != completion.name)])
    prompts = [column for column in prompts if column.name != answer]
    first = ask("prompt", [", ".join(p.name for p in prompts), *(n for n in names if n != answer)])
    chosen = first.split(", ")
    prompt = chosen[0] if len(chosen) == 1 else "\n\n".join(f"{{{name}}}" for name in chosen) + "\n\n"
    by_name = completion.name.lower() in _COMPLETION_NAMES
    reasons = {"prompt": 'a column, or a template of columns such as "Q: {question}\\nA:"'}
    reasons["completion"] = "by its name" if by_name else "the second text; the other way round?"
    doubts = [] if by_name else [f"prompt: {completion.name}, completion: {prompts[0].name}"]
    return {"prompt": prompt, "completion": answer}, reasons, doubts


def _chat(columns: Sequence[Column], ask: Ask) -> tuple[dict[str, object], dict[str, str], list[str]]:
    able = [column for column in columns if column.is_conversations]
    talk = _chosen("messages", able, ask)
    reasons = {
        "messages": "a conversation in each row",
        "train_on": 'what is learned; "last": the last turn alone',
    }
    doubts = [f"messages: {other.name}" for other in able if other is not talk]
    return {"messages": talk.name, "train_on": "assistant"}, reasons, doubts


def _text(columns: Sequence[Column], ask: Ask) -> tuple[dict[str, object], dict[str, str], list[str]]:
    text = _chosen("text", [column for column in columns if column.is_text], ask)
    return (
        {"text": text.name},
        {"text": f"{text.num_words:.0f} words on average, and every one is learned"},
        [],
    )


_GUESSES: Mapping[
    str, Callable[[Sequence[Column], Ask], tuple[dict[str, object], dict[str, str], list[str]]]
] = {
    "classification": lambda columns, ask: _label_task(columns, ask, "classification"),
    "multilabel": _lists_task,
    "regression": lambda columns, ask: _label_task(columns, ask, "regression"),
    "generation": _generation,
    "chat": _chat,
    "text": _text,
}


def _chosen(what: str, able: Sequence[Column], ask: Ask) -> Column:
    by_name = {column.name: column for column in able}
    return by_name[ask(what, list(by_name))]


def _prompt_and_completion(columns: Sequence[Column]) -> tuple[list[Column], Column] | None:
    """What is called so. An instruction may have an input beside it."""
    by_name = {column.name.lower(): column for column in columns if column.values and not column.numbers}
    completion = next((by_name[name] for name in _COMPLETION_NAMES if name in by_name), None)
    prompts = [by_name[name] for name in _PROMPT_NAMES if name in by_name and by_name[name] is not completion]
    if completion is None or not prompts or completion.is_classes:
        return None
    beside = [column for column in prompts if column.name.lower() == "input"]
    return (prompts[:1] if prompts[0] in beside else [prompts[0], *beside]), completion


def _pair(columns: Sequence[Column], label: Column) -> list[Column]:
    """Two texts that belong together by their names, such as premise and hypothesis, or text1 and text2."""
    by_name = {c.name.lower(): c for c in columns if c is not label and c.num_words and not c.is_index}
    for first, second in _PAIRS:
        if first in by_name and second in by_name:
            return [by_name[first], by_name[second]]
    stems: dict[str, list[Column]] = {}
    for name, column in by_name.items():
        if match := _NUMBERED.fullmatch(name):
            stems.setdefault(match[1], []).append(column)
    return next((pair for pair in stems.values() if len(pair) == 2), [])


def _as_list(value: object) -> Sequence[object]:
    """A list, or a text that spells one in JSON. Raises ValueError for anything else."""
    match value:
        case list() | tuple():
            return value
        case str() if value.lstrip().startswith("["):
            return _as_list(json.loads(value))
    raise ValueError(value)


def _is_conversation(value: object) -> bool:
    if isinstance(value, str) and not value.lstrip().startswith("["):
        return False
    try:
        return bool(parse_messages("", value))
    except ValueError:
        return False


def _span(numbers: Sequence[float]) -> str:
    return f"numbers from {min(numbers):g} to {max(numbers):g}"


def _and(columns: Sequence[Column]) -> str:
    return " and ".join(column.name for column in columns)

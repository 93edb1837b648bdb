"""Which metrics a text task is scored by, and how texts and references are laid out for them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from lorafit.errors import RecipeError, did_you_mean

ProtocolName = Literal["official", "paper"]


def as_is(text: str) -> str:
    """The text itself: the scorer has a tokeniser of its own."""
    return text


def split_words(text: str) -> str:
    """Every character that is not of a word becomes a word: "it's 3.5" -> "it ' s 3 . 5"."""
    return " ".join(" ".join(re.split(r"(\W)", text)).split())


def split_then_lower(text: str) -> str:
    """As the WebNLG 2017 organisers' scripts prepare a line, but for their unidecode()."""
    return text if _is_split(text) else split_words(text).lower()


def lower_then_split(text: str) -> str:
    """As the LoRA paper's gpt2_decode.py does with --tokenize --lower; only "İ" tells the two apart."""
    return text if _is_split(text) else split_words(text.lower())


_SPLIT = re.compile(r"(?:(?:[\w\u0307]+|[^\w\u0307\s])(?: |$))*")  # lower() makes "İ" an i and U+0307


def _is_split(text: str) -> bool:
    """Whether a line has been through either already, so that score files can be scored as they are."""
    return text == text.lower() and _SPLIT.fullmatch(text) is not None


@dataclass(frozen=True)
class Protocol:
    """A scorer: how it prepares a line, how many references of a group it takes, and what it computes."""

    scorer: str
    metrics: tuple[str, ...]  # names in METRICS, in the order of printing
    prepare: Callable[[str], str] = as_is
    num_references: int | None = None  # of a group; the rest is dropped
    padding: Literal["none", "empty", "first"] = "none"  # what fills a group up to the longest
    note: str = ""


_E2E = Protocol("tuetschek/e2e-metrics", metrics=("e2e_bleu", "nist", "meteor_ptb", "rouge_l", "cider"))
_CHALLENGE = Protocol(
    "WebNLG Challenge 2017 and DART: multi-bleu -lc, METEOR 1.5, tercom 0.7",
    metrics=("multi_bleu", "meteor", "tercom", "chrf"),
    prepare=split_then_lower,
    num_references=3,
    padding="empty",
)
_GENERATION_EVAL = Protocol(
    "WebNLG/GenerationEval",
    metrics=("multi_bleu_detok", "meteor", "ter", "chrf"),
    prepare=lower_then_split,
    num_references=6,
    padding="first",
    note="computed without the empty last segment that a final newline gives GenerationEval (below 0.0005)",
)

# For E2E the paper ran the challenge's scorer, on references of its own (re-tokenised; about 1 BLEU higher).
PROTOCOLS: dict[tuple[str, str], Protocol] = {
    ("e2e", "official"): _E2E,
    ("e2e", "paper"): _E2E,
    ("dart", "official"): _CHALLENGE,
    ("dart", "paper"): _GENERATION_EVAL,
    ("webnlg", "official"): _CHALLENGE,
    ("webnlg", "paper"): _GENERATION_EVAL,
}


def find_protocol(task: str, protocol: str) -> Protocol:
    """The entry of the table.

    Raises:
        RecipeError: no such task or protocol.
    """
    tasks = list(dict.fromkeys(task for task, _ in PROTOCOLS))
    names = list(dict.fromkeys(name for _, name in PROTOCOLS))
    if task not in tasks:
        raise RecipeError(f"no text task {task!r} ({', '.join(tasks)}){did_you_mean(task, tasks)}")
    if protocol not in names:
        raise RecipeError(f"no protocol {protocol!r} ({', '.join(names)}){did_you_mean(protocol, names)}")
    return PROTOCOLS[task, protocol]


def lay_out(protocol: Protocol, references: Sequence[Sequence[str]]) -> list[list[str]]:
    """The references as the scorer sees them: prepared, no more than it takes, filled up as it does."""
    groups = [[protocol.prepare(text) for text in group[: protocol.num_references]] for group in references]
    if protocol.padding == "none":
        return groups
    width = max(map(len, groups))
    return [
        [*group, *[group[0] if protocol.padding == "first" else ""] * (width - len(group))]
        for group in groups
    ]

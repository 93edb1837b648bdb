"""The scorers of texts: how each prepares texts and references, and which metrics it computes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from lorafit.errors import lookup


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
class Scorer:
    """How texts are scored: how a line is prepared, how many references of a group count, and what is computed."""

    name: str
    title: str  # the program whose figures these are
    metrics: tuple[str, ...]  # names of metrics, in the order of printing
    prepare: Callable[[str], str] = as_is
    num_references: int | None = None  # of a group; the rest is dropped
    padding: Literal["none", "empty", "first"] = "none"  # what fills a group up to the longest
    note: str = ""

    def lay_out(self, references: Sequence[Sequence[str]]) -> list[list[str]]:
        """The references as the scorer sees them: prepared, no more than it takes, filled up as it does."""
        groups = [[self.prepare(text) for text in group[: self.num_references]] for group in references]
        if self.padding == "none":
            return groups
        width = max(map(len, groups))
        return [
            [*group, *[group[0] if self.padding == "first" else ""] * (width - len(group))]
            for group in groups
        ]


SCORERS: dict[str, Scorer] = {
    scorer.name: scorer
    for scorer in (
        Scorer(
            "plain",
            "texts as they are: sacrebleu, chrF++, ROUGE-L, exact match",
            metrics=("bleu", "chrf", "rouge_l", "exact_match"),
        ),
        Scorer(
            "e2e-metrics",
            "tuetschek/e2e-metrics",
            metrics=("e2e_bleu", "nist", "meteor_ptb", "rouge_l", "cider"),
        ),
        Scorer(
            "webnlg-challenge",
            "WebNLG Challenge 2017 and DART: multi-bleu -lc, METEOR 1.5, tercom 0.7",
            metrics=("multi_bleu", "meteor", "tercom", "chrf"),
            prepare=split_then_lower,
            num_references=3,
            padding="empty",
        ),
        Scorer(
            "generation-eval",
            "WebNLG/GenerationEval",
            metrics=("multi_bleu_detok", "meteor", "ter", "chrf"),
            prepare=lower_then_split,
            num_references=6,
            padding="first",
            note="computed without the empty last segment that a final newline gives GenerationEval (below 0.0005)",
        ),
    )
}

# For E2E the paper ran the challenge's scorer, on references of its own (re-tokenised; about 1 BLEU higher).
PROTOCOLS_BY_TASK: dict[str, dict[str, str]] = {
    "e2e": {"official": "e2e-metrics", "paper": "e2e-metrics"},
    "dart": {"official": "webnlg-challenge", "paper": "generation-eval"},
    "webnlg": {"official": "webnlg-challenge", "paper": "generation-eval"},
}


def find_scorer(task: str, protocol: str) -> Scorer:
    """The scorer by which a task's organisers ("official") or the LoRA paper ("paper") scored it.

    Raises:
        RecipeError: no such task or protocol.
    """
    return SCORERS[lookup(lookup(PROTOCOLS_BY_TASK, task, "text task"), protocol, "protocol")]

"""Texts that follow a prompt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator
from typing_extensions import override

from lorafit.data.cells import text_of
from lorafit.data.rows import RawRow, TextRow
from lorafit.errors import did_you_mean
from lorafit.metrics import TextMetric
from lorafit.metrics.scorers import SCORERS
from lorafit.metrics.scoring import text_metrics
from lorafit.recipe import Split
from lorafit.tasks.base import WritingTask
from lorafit.tasks.template import parse_template, require_columns


class Generation(WritingTask):
    """Write the text that follows a prompt. Rows with the same prompt are references of one context."""

    kind: ClassVar[str] = "generation"

    prompt: str = "prompt"
    """Column of the prompt, or a template of columns such as "Q: {question}\\nA:"; `{{` is a brace."""
    completion: str = "completion"
    """Column of the text that shall follow, or a template of columns."""
    scorer: Annotated[
        str, Field(description=f"The program by whose rules texts are scored: {', '.join(SCORERS)}.")
    ] = "plain"
    separator: Literal["none", "eos"] = "none"
    """Token between prompt and completion. eos: the tokenizer's end-of-text, as in the paper's code."""
    completion_prefix: str = " "
    """Text before every completion, so that its first word is a token of its own."""
    stop_text: str = ""
    """A generated text ends before the first one of these, such as an empty line. Empty: at end-of-text alone."""
    prompt_start: Literal["tokenizer", "none"] = "tokenizer"
    """Tokens before a prompt. tokenizer: those that the tokenizer puts there, such as `<bos>`."""

    @field_validator("prompt", "completion")
    @classmethod
    def _is_a_template(cls, value: str) -> str:
        parse_template(value)
        return value

    @model_validator(mode="after")
    def _completion_is_no_prompt(self) -> Self:
        if parse_template(self.prompt) == parse_template(self.completion):
            raise ValueError(f"'prompt' and 'completion' are the same text {self.prompt!r}")
        return self

    @field_validator("scorer")
    @classmethod
    def _is_a_scorer(cls, value: str) -> str:
        if value not in SCORERS:
            hint = did_you_mean(value, SCORERS) or ";"
            raise ValueError(f"no scorer {value!r}{hint} there are {', '.join(SCORERS)}")
        return value

    @override
    def find_metrics(self, names: Sequence[str] | None) -> list[TextMetric]:
        """Those of the scorer, unless the task or the caller names others."""
        return text_metrics(SCORERS[self.scorer], self.metrics if names is None else names)

    @override
    def columns(self, split: Split) -> tuple[str, ...]:
        part = () if self.part is None else (self.part,)
        return (*parse_template(self.prompt).columns, *parse_template(self.completion).columns, *part)

    @property
    @override
    def input_columns(self) -> tuple[str, ...]:
        return parse_template(self.prompt).columns

    @override
    def key(self, row: RawRow) -> str:
        prompt = parse_template(self.prompt).render(row.fields)
        if not prompt.strip():
            raise ValueError("the prompt is empty")
        return prompt

    @override
    def parse(self, row: RawRow, split: Split) -> TextRow:
        completion = parse_template(self.completion).render(row.fields)
        return TextRow(self.key(row), completion, self.part_of(row))

    @override
    def parse_input(self, given: str | Mapping[str, object]) -> TextRow:
        """A text is the whole prompt."""
        if isinstance(given, str):
            prompt = text_of("the prompt", given)
            if not prompt.strip():
                raise ValueError("the prompt is empty")
            return TextRow(prompt, "")
        require_columns(self.input_columns, given)
        return TextRow(self.key(RawRow(1, given)), "")

    @override
    def resolve(self, rows: Iterable[RawRow]) -> Self:
        """With its headline."""
        return self.model_copy(update={"headline": self.headline_score})


@dataclass(frozen=True)
class ReferenceGroup:
    """One prompt with every text that is a right answer to it; `part` as in TextRow."""

    prompt: str
    references: tuple[str, ...]
    part: str = ""


def group_references(rows: Sequence[TextRow]) -> list[ReferenceGroup]:
    """Rows with the same prompt together, in order of first appearance (paper's gpt2_decode.py)."""
    references: dict[str, list[str]] = {}
    part: dict[str, str] = {}
    for row in rows:
        references.setdefault(row.prompt, []).append(row.completion)
        part.setdefault(row.prompt, row.part)
    return [ReferenceGroup(prompt, tuple(texts), part[prompt]) for prompt, texts in references.items()]

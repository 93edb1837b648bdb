"""Prompt and completion -> token ids and which of them are targets (paper's gpt2_encode.py and data_utils.py)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from transformers import PreTrainedTokenizerBase, TokenizersBackend

from lorafit.data.rows import TextRow
from lorafit.errors import NotFoundError

Separator = Literal["eos", "none"]
PromptStart = Literal["none", "tokenizer"]

_PART_CHARACTERS = 1 << 20  # tokenized together


@dataclass(frozen=True)
class TextFormat:
    """What stands around the texts: token ids before a prompt and behind it, and a text before the completion.

    The paper's code has none before the prompt, end-of-text behind it, and a blank before the completion
    (`--add_bos --add_eos`).
    """

    start_ids: tuple[int, ...]
    separator_ids: tuple[int, ...]
    completion_prefix: str
    end_id: int

    @staticmethod
    def of(
        tokenizer: PreTrainedTokenizerBase,
        *,
        separator: Separator = "eos",
        completion_prefix: str = " ",
        prompt_start: PromptStart = "none",
    ) -> TextFormat:
        """Raises NotFoundError when the tokenizer has no end-of-text token."""
        end = end_of_text(tokenizer)
        return TextFormat(
            start_ids=start_of_text(tokenizer) if prompt_start == "tokenizer" else (),
            separator_ids=(end,) if separator == "eos" else (),
            completion_prefix=completion_prefix,
            end_id=end,
        )


@dataclass(frozen=True)
class EncodedPair:
    """`prompt_ids` and `completion_ids`, the latter ending with end-of-text; loss is taken on the completion only."""

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]

    def columns(self) -> tuple[Sequence[int], Sequence[int]]:
        """Prompt and completion."""
        return self.prompt_ids, self.completion_ids

    @classmethod
    def of_columns(cls, columns: Sequence[Sequence[int]]) -> Self:
        prompt, completion = columns
        return cls(tuple(prompt), tuple(completion))

    @property
    def ids(self) -> tuple[int, ...]:
        """Of both, one after the other."""
        return (*self.prompt_ids, *self.completion_ids)

    @property
    def length(self) -> int:
        """Tokens of both."""
        return len(self.prompt_ids) + len(self.completion_ids)

    def num_targets(self, max_length: int) -> int:
        """Of what `max_length` leaves: places of `target_mask` that are true."""
        return max(self._num_inputs(max_length) + 1 - max(len(self.prompt_ids), 1), 0)

    def inputs(self, max_length: int) -> list[int]:
        """What the model reads: everything but the last token of what `max_length` leaves."""
        return list(self.ids[: self._num_inputs(max_length)])

    def target_mask(self, max_length: int) -> list[bool]:
        """For each input, whether the token after it is a target: those of the completion and its end-of-text."""
        first = max(len(self.prompt_ids), 1) - 1
        return [i >= first for i in range(self._num_inputs(max_length))]

    def targets(self, max_length: int) -> list[int]:
        """The tokens to be predicted, one for each true place of `target_mask`."""
        return list(self.ids[max(len(self.prompt_ids), 1) : self._num_inputs(max_length) + 1])

    def _num_inputs(self, max_length: int) -> int:
        return min(self.length, max_length) - 1


def end_of_text(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that ends a completion. Raises NotFoundError when the tokenizer has none."""
    if tokenizer.eos_token_id is None:
        raise NotFoundError(f"{tokenizer.name_or_path}: its tokenizer has no end-of-text token (eos_token)")
    return int(tokenizer.eos_token_id)


def start_of_text(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """The tokens that the tokenizer puts before a text: `<bos>` of Gemma and Llama, none of GPT-2."""
    bare = token_ids(tokenizer, ["a"])[0]
    whole = list(tokenizer("a", verbose=False)["input_ids"])
    place = next((i for i in range(len(whole)) if whole[i : i + len(bare)] == bare), 0)
    return tuple(whole[:place])


def encode_pairs(
    tokenizer: PreTrainedTokenizerBase, rows: Sequence[TextRow], form: TextFormat | None = None
) -> list[EncodedPair]:
    """BPE(prompt) + separator and BPE(prefix + completion) + end-of-text for every row; `form` None: the paper's."""
    if not rows:
        return []
    form = form or TextFormat.of(tokenizer)
    prompts = encode_prompts(tokenizer, [row.prompt for row in rows], form)
    completions = token_ids(tokenizer, [form.completion_prefix + row.completion for row in rows])
    return [
        EncodedPair(tuple(prompt), (*completion, form.end_id))
        for prompt, completion in zip(prompts, completions, strict=True)
    ]


def encode_prompts(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], form: TextFormat | None = None
) -> list[list[int]]:
    """BPE(prompt) + separator: what decoding starts from."""
    form = form or TextFormat.of(tokenizer)
    distinct = list(dict.fromkeys(prompts))  # a prompt mostly has several references, one behind the other
    ids = dict(zip(distinct, token_ids(tokenizer, distinct), strict=True))
    return [[*form.start_ids, *ids[each], *form.separator_ids] for each in prompts]


def token_ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Those of each text, without special tokens around it: on all cores where the tokenizer is a fast one."""
    own = getattr(type(tokenizer), "_encode_plus", None)
    if own is not TokenizersBackend._encode_plus:
        return (
            list(tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"])
            if texts
            else []
        )
    tokenizer("", verbose=False)  # sets what a call sets, and nothing is cut or padded
    backend = tokenizer.backend_tokenizer
    return [
        encoding.ids
        for part in _parts(texts)
        for encoding in backend.encode_batch_fast(part, add_special_tokens=False)
    ]


def _parts(texts: Sequence[str]) -> Iterator[list[str]]:
    """Some texts at a time, so many that their encodings take some hundred megabytes at most."""
    part: list[str] = []
    size = 0
    for text in texts:
        part.append(text)
        size += len(text)
        if size >= _PART_CHARACTERS:
            yield part
            part, size = [], 0
    if part:
        yield part

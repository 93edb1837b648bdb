"""Text pairs -> token ids and which of them are targets (paper's gpt2_encode.py and data_utils.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from lorafit.data.rows import TextRow
from lorafit.errors import NotFoundError


@dataclass(frozen=True)
class EncodedPair:
    """`context_ids` and `completion_ids`, each ending with end-of-text; loss is taken on the completion only."""

    context_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]

    def inputs(self, max_length: int) -> list[int]:
        """What the model reads: everything but the last token of what `max_length` leaves."""
        return [*self.context_ids, *self.completion_ids][: self._num_inputs(max_length)]

    def target_mask(self, max_length: int) -> list[bool]:
        """For each input, whether the token after it is a target: those of the completion and its end-of-text."""
        first = len(self.context_ids) - 1
        return [i >= first for i in range(self._num_inputs(max_length))]

    def targets(self, max_length: int) -> list[int]:
        """The tokens to be predicted, one for each true place of `target_mask`."""
        ids = [*self.context_ids, *self.completion_ids]
        return ids[len(self.context_ids) : self._num_inputs(max_length) + 1]

    def _num_inputs(self, max_length: int) -> int:
        return min(len(self.context_ids) + len(self.completion_ids), max_length) - 1


def end_of_text(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that ends a context and a completion. Raises NotFoundError when the tokenizer has none."""
    if tokenizer.eos_token_id is None:
        raise NotFoundError(f"{tokenizer.name_or_path}: its tokenizer has no end-of-text token (eos_token)")
    return int(tokenizer.eos_token_id)


def encode_pairs(tokenizer: PreTrainedTokenizerBase, pairs: Sequence[TextRow]) -> list[EncodedPair]:
    """BPE(context) + [eos] and BPE(" " + completion) + [eos] for every pair (paper's `--add_bos --add_eos`)."""
    if not pairs:
        return []
    eos = end_of_text(tokenizer)
    contexts = _ids(tokenizer, [pair.prompt for pair in pairs])
    completions = _ids(tokenizer, [" " + pair.completion for pair in pairs])
    return [
        EncodedPair((*context, eos), (*completion, eos))
        for context, completion in zip(contexts, completions, strict=True)
    ]


def encode_contexts(tokenizer: PreTrainedTokenizerBase, contexts: Sequence[str]) -> list[list[int]]:
    """BPE(context) + [eos]: what decoding starts from."""
    eos = end_of_text(tokenizer)
    return [[*ids, eos] for ids in _ids(tokenizer, list(contexts))] if contexts else []


def _ids(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    return list(tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"])

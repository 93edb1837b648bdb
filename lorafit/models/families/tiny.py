"""Tokenizers for tiny models, learned in a moment from a few texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_MAX_TOKENS = 400


@dataclass(frozen=True)
class Specials:
    """The special tokens of a tokenizer: all of them in the order of their ids, and those that frame texts.

    `first` A `end`, or `first` A `end` `between` B `end` for a pair, of which B has type `second_type`. A decoder puts
    `first` before a text, where it has one, and nothing behind it.
    """

    tokens: tuple[str, ...]
    pad: str
    end: str
    first: str = ""
    unknown: str = ""
    between: str = ""
    second_type: int = 0


DECODER = Specials(("<|endoftext|>",), pad="<|endoftext|>", end="<|endoftext|>")
GEMMA = Specials(("<pad>", "<eos>", "<bos>"), pad="<pad>", end="<eos>", first="<bos>")
ROBERTA = Specials(("<s>", "<pad>", "</s>", "<unk>", "<mask>"), "<pad>", "</s>", "<s>", "<unk>", "</s>")
BERT = Specials(
    ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"), "[PAD]", "[SEP]", "[CLS]", "[UNK]", second_type=1
)


def byte_pairs(texts: Sequence[str], specials: Specials) -> PreTrainedTokenizerFast:
    """Byte-level BPE, as GPT-2 has it: it knows every text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_MAX_TOKENS,
        special_tokens=list(specials.tokens),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if specials.first:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{specials.first} $A",
            pair=f"{specials.first} $A $B",
            special_tokens=[(specials.first, specials.tokens.index(specials.first))],
        )
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=specials.first or specials.end,
        eos_token=specials.end,
        pad_token=specials.pad,
    )


def words(texts: Sequence[str], specials: Specials) -> PreTrainedTokenizerFast:
    """A token for every word, framed as an encoder reads texts and pairs of them."""
    tokenizer = Tokenizer(models.WordLevel(unk_token=specials.unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordLevelTrainer(
        vocab_size=_MAX_TOKENS, special_tokens=list(specials.tokens), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    first, end, kind = specials.first, specials.end, specials.second_type
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {end}",
        pair=" ".join(f"{first} $A {end} {specials.between} $B:{kind} {end}:{kind}".split()),
        special_tokens=[(token, specials.tokens.index(token)) for token in (first, end)],
    )
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        cls_token=first,
        sep_token=end,
        pad_token=specials.pad,
        unk_token=specials.unknown,
    )

"""Tiny random encoders with tokenizers of their own, and a GLUE folder that they can learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

ENCODERS = ("roberta", "bert", "deberta-v2")
NAMES = ("Anna", "Bert", "Carl", "Dora", "Emil", "Frida")
GOOD, BAD = ("lovely", "superb", "bright"), ("dreadful", "awful", "dull")


def sentences(count: int) -> list[tuple[str, int]]:
    """(sentence, 0 bad or 1 good): one word tells, and lengths differ."""
    rows = []
    for i in range(count):
        word = (GOOD if i % 2 else BAD)[i // 2 % 3]
        tail = " and so on" * (i % 4)
        rows.append((f"{NAMES[i % 6]} saw a {word} film {NAMES[i * 7 % 6]}{tail}", i % 2))
    return rows


def write_sst2(root: Path, num_train: int = 48, num_valid: int = 24) -> Path:
    """`root` in the layout of the GLUE download, with SST-2 in it."""
    folder = root / "SST-2"
    folder.mkdir(parents=True)
    for name, rows in (
        ("train", sentences(num_train)),
        ("dev", sentences(num_train + num_valid)[num_train:]),
    ):
        lines = [f"{text}\t{label}" for text, label in rows]
        (folder / f"{name}.tsv").write_text("\n".join(["sentence\tlabel", *lines]) + "\n")
    lines = [f"{i}\t{text}" for i, (text, _) in enumerate(sentences(6))]
    (folder / "test.tsv").write_text("\n".join(["index\tsentence", *lines]) + "\n")
    return root


def write_rte(root: Path, num_train: int = 32, num_valid: int = 12) -> Path:
    """RTE beside it: the second sentence follows if its word is of the same kind as the first one's."""
    folder = root / "RTE"
    folder.mkdir(parents=True)
    rows = sentences(num_train + num_valid + 1)
    pairs = [
        (a, b, "entailment" if x == y else "not_entailment")
        for (a, x), (b, y) in zip(rows, [*rows[2::2], *rows[1::2]], strict=False)
    ]
    for name, part in (("train", pairs[:num_train]), ("dev", pairs[num_train : num_train + num_valid])):
        lines = [f"{i}\t{a}\t{b}\t{label}" for i, (a, b, label) in enumerate(part)]
        (folder / f"{name}.tsv").write_text("\n".join(["index\tsentence1\tsentence2\tlabel", *lines]) + "\n")
    return root


def save_encoder(folder: Path, model_type: str, seed: int = 0, **changes: Any) -> Path:
    """A bare encoder without a task head, as those on the hub are, with tokenizer."""
    vocab_size = _save_tokenizer(folder, model_type)
    roberta = model_type == "roberta"
    sizes: dict[str, Any] = {
        "vocab_size": vocab_size,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 66 if roberta else 64,
        "type_vocab_size": {"roberta": 1, "bert": 2, "deberta-v2": 0}[model_type],
        "pad_token_id": 1 if roberta else 0,
        "initializer_range": 0.2,  # enough for a random encoder to tell words apart
    }
    if model_type == "deberta-v2":
        sizes |= {"relative_attention": True, "position_buckets": 16, "norm_rel_ebd": "layer_norm"}
        sizes |= {"share_att_key": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False}
        sizes |= {"conv_kernel_size": 3, "conv_act": "gelu", "pooler_hidden_size": 32}
    torch.manual_seed(seed)
    config = AutoConfig.for_model(model_type, **(sizes | changes))
    AutoModel.from_config(config).save_pretrained(folder)
    return folder


def _save_tokenizer(folder: Path, model_type: str) -> int:
    """Words, with the special tokens and pair template of the architecture; returns the size of the vocabulary."""
    roberta = model_type == "roberta"
    specials = (
        ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        if roberta
        else ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    )
    first, pad, end = ("<s>", "<pad>", "</s>") if roberta else ("[CLS]", "[PAD]", "[SEP]")
    tokenizer = Tokenizer(models.WordLevel(unk_token=specials[3]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(
        [text for text, _ in sentences(48)],
        trainers.WordLevelTrainer(special_tokens=specials, show_progress=False),
    )
    middle = f" {end}" if roberta else ""
    second = "0" if roberta else "1"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {end}",
        pair=f"{first} $A {end}{middle} $B:{second} {end}:{second}",
        special_tokens=[(first, specials.index(first)), (end, specials.index(end))],
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, cls_token=first, sep_token=end, pad_token=pad, unk_token=specials[3]
    )
    fast.save_pretrained(folder)
    return int(tokenizer.get_vocab_size())

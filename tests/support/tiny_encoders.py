"""Tiny random encoders with tokenizers of their own, and a GLUE folder that they can learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel

from lorafit.models import FAMILIES
from tests.support.tiny_models import ENCODERS as ENCODERS

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
    family = FAMILIES[model_type]
    tokenizer = family.tiny_tokenizer([text for text, _ in sentences(48)])
    tokenizer.save_pretrained(folder)
    places = 66 if family.counts_from_pad else 64
    sizes: dict[str, Any] = {"vocab_size": len(tokenizer), "max_position_embeddings": places}
    sizes |= {"initializer_range": 0.2}  # enough for a random encoder to tell words apart
    torch.manual_seed(seed)
    AutoModel.from_config(family.tiny_config(**(sizes | changes))).save_pretrained(folder)
    return folder

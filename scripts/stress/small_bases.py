"""Small bases with random weights, as they would lie on the hub: weights, config, tokenizer, and rows to train on."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import (
    CONFIG_MAPPING,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from lorafit.models.trials.shrink import small_configs

Output = Literal["text", "label"]
AUTO: Mapping[Output, Any] = {
    "text": AutoModelForCausalLM,
    "label": AutoModelForSequenceClassification,
}
SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
WORDS = [f"w{i}" for i in range(40)]
ROWS = [(f"w{i} w{2 * i} w{i + 7}{' w3 w9' * (i % 3)}", f"w{i + 20} w{39 - i} w{i + 5}") for i in range(8)]
MAX_PARAMETERS = 20_000_000


class NotBareError(Exception):
    """transformers alone cannot train it, built small: it is left out of the count."""


def said(error: BaseException) -> str:
    """The kind of an error and its first line."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first}"


def save_base(folder: Path, model_type: str, output: Output) -> None:
    """The largest part of a base that lies on the hub: weights, config, tokenizer, and rows in train.jsonl.

    Raises NotBareError where transformers alone does not train it.
    """
    tokenizer = word_tokenizer()
    net = bare_net(model_type, output, tokenizer)
    base: PreTrainedModel = net if output == "text" else getattr(net, net.base_model_prefix)
    base.save_pretrained(folder / "base")
    save_tokenizer(folder / "base")
    check_trains_bare(net, output, tokenizer)
    try:
        again = AUTO[output].from_pretrained(folder / "base", num_labels=2)
        untrained = all(torch.isfinite(p).all() for p in again.parameters())
    except Exception as error:
        raise NotBareError(f"transformers does not open what it saved: {said(error)}") from error
    if not untrained:
        raise NotBareError("transformers opens what it saved with weights that are not finite")
    keys = ("prompt", "completion") if output == "text" else ("text", "label")
    lines = [
        json.dumps(
            dict(zip(keys, (first, second if output == "text" else ("no", "yes")[i % 2]), strict=True))
        )
        for i, (first, second) in enumerate(ROWS)
    ]
    (folder / "train.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def save_tokenizer(folder: Path) -> None:
    """The one that opens as what it is: some architectures make any file a tokenizer of their own kind."""
    for tokenizer in (word_tokenizer(), character_tokenizer()):
        tokenizer.save_pretrained(folder)
        with contextlib.suppress(Exception):
            ids = AutoTokenizer.from_pretrained(folder)(ROWS[0][0])["input_ids"]
            if ids == tokenizer(ROWS[0][0])["input_ids"]:
                return
    config = json.loads((folder / "config.json").read_text())
    raise NotBareError(f"{config['model_type']} takes no small tokenizer")


def bare_net(model_type: str, output: Output, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """The smallest copy that can be built and runs, with random weights whose opinions differ."""
    why = "no small config"
    for config in configs(model_type, output, tokenizer):
        try:
            with torch.device("meta"):
                shape = AUTO[output].from_config(config)
            if (num := sum(p.numel() for p in shape.parameters())) > MAX_PARAMETERS:
                why = f"{num:,} parameters when shrunk"
                continue
            torch.manual_seed(0)
            net: PreTrainedModel = AUTO[output].from_config(config, dtype=torch.float32)
            spread(net)
            with torch.no_grad():
                net.eval().forward(**inputs_of(tokenizer, output))
        except Exception as error:
            why = said(error)
            continue
        return net
    raise NotBareError(why)


def configs(
    model_type: str, output: Output, tokenizer: PreTrainedTokenizerFast
) -> Iterator[PretrainedConfig]:
    """Small ones, whose special tokens are the tokenizer's."""
    try:
        for config in small_configs(CONFIG_MAPPING[model_type]()):
            config.num_labels = 2
            if output == "text" and getattr(config, "is_decoder", None) is False:
                config.is_decoder = True  # an encoder that may write, such as BERT
            for part in {id(part): part for part in (config, config.get_text_config(decoder=True))}.values():
                for key in ("bos_token_id", "pad_token_id", "eos_token_id"):
                    setattr(part, key, getattr(tokenizer, key))
            yield config
    except Exception as error:
        raise NotBareError(said(error)) from error


@torch.no_grad()
def spread(net: PreTrainedModel) -> None:
    """Weights of the size that keeps activations as large as they are."""
    generator = torch.Generator().manual_seed(0)
    for parameter in net.parameters():
        if parameter.ndim > 1:
            parameter.normal_(std=parameter.shape[-1] ** -0.5, generator=generator)
    for module in net.modules():
        if isinstance(module, nn.Embedding) and module.padding_idx is not None:
            module.weight[module.padding_idx] = 0.0


def word_tokenizer() -> PreTrainedTokenizerFast:
    """A token for every word, `<s>` before a text and `</s>` behind it."""
    vocabulary = {token: i for i, token in enumerate((*SPECIALS, *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return framed(tokenizer)


def character_tokenizer() -> PreTrainedTokenizerFast:
    """A token for every character, in the form that tokenizers of several architectures insist on."""
    characters = ("w", "\u0120", *"0123456789")  # a blank is written so
    vocabulary = {token: i for i, token in enumerate((*SPECIALS, *characters))}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return framed(tokenizer)


def framed(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """With special tokens around texts."""
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = {"bos": "<s>", "cls": "<s>", "pad": "<pad>", "eos": "</s>", "sep": "</s>", "unk": "<unk>"}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        padding_side="right",
        **{f"{name}_token": token for name, token in names.items()},
    )


def inputs_of(tokenizer: PreTrainedTokenizerFast, output: Output) -> dict[str, Tensor]:
    """A padded batch with labels, as transformers' Trainer gives it."""
    given = tokenizer(
        [" ".join(row) for row in ROWS], padding=True, return_tensors="pt", return_token_type_ids=False
    )
    ids, mask = given["input_ids"], given["attention_mask"]
    labels = ids.masked_fill(mask == 0, -100) if output == "text" else torch.arange(len(ROWS)) % 2
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def check_trains_bare(net: PreTrainedModel, output: Output, tokenizer: PreTrainedTokenizerFast) -> None:
    """Three steps of AdamW on the loss that the net itself gives."""
    inputs = inputs_of(tokenizer, output)
    try:
        net.train()
        optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
        for _ in range(3):
            loss = net(**inputs).loss
            torch.autograd.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
    except Exception as error:
        raise NotBareError(said(error)) from error
    if not loss.isfinite() or not all(p.isfinite().all() for p in net.parameters()):
        raise NotBareError("its loss is not finite")

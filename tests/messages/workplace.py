"""The folder in which the mistakes of the table are made: bases, adapters, runs, recipes and rows, all small."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save
from torch import Tensor
from transformers import AutoConfig, PretrainedConfig

from lorafit.adapters import BaseChoice
from lorafit.adapters.fingerprint import FINGERPRINT_FILE
from lorafit.adapters.folder import CARD_FILE, TENSOR_FILE
from lorafit.adapters.seal import document_seal, function_seal
from lorafit.methods import METHODS, LoRA
from lorafit.models import FAMILIES
from lorafit.tasks import make_task
from lorafit.verbs.export import export
from tests.messages.mistakes import Mistake, place
from tests.support.adapter_fixtures import make_adapter, run_here
from tests.support.run_folders import e2e_scores, write_run
from tests.support.tiny_encoders import save_encoder

Change = Callable[[dict[str, Any], dict[str, Tensor], dict[str, bytes]], None]
"""What becomes of adapter.json, of the tensors, and of the files beside them."""

RECIPES_NEED = ("base", "encoder")


def _recipe(base: str, task: str, rows: str, more: str = "") -> str:
    return f"""[model]
base = "{base}"
[method]
name = "lora"
r = 2
alpha = 4
targets = ["query", "value"]
[task]
{task}
[data]
train = "{rows}"
[train]
epochs = 1
batch_size = 2
learning_rate = 1e-3
{more}"""


_LAYERS = {"num_hidden_layers": 2, "hidden_size": 32}
UNKNOWN: Mapping[str, Mapping[str, Any]] = {
    "bart": {"decoder_layers": 2, "d_model": 32, "decoder_attention_heads": 4, "is_decoder": True},
    "ibert": {**_LAYERS, "num_attention_heads": 4, "intermediate_size": 64},
    "mamba": {**_LAYERS, "state_size": 4},
}
"""Architectures that have no file in lorafit, each odd in its way: narrow layers."""

FILES: Mapping[str, str] = {
    "rows.csv": "review,stars\nvery good,5\nbad,1\nfine,5\nawful,1\n",
    "asked.jsonl": "".join(f'{{"question": "who is {n}?", "answer": "a friend"}}\n' for n in ("Ann", "Bob")),
    "chats.jsonl": '{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}\n'
    * 3,
    "e2e.txt": "name : Zizzi||Zizzi is a place .\nname : Cotto||Cotto is a place .\n",
    "reviews.toml": _recipe(
        "encoder", 'name = "classification"\ntext = "review"\nlabel = "stars"', "rows.csv"
    ),
    "answers.toml": _recipe(
        "base",
        'name = "generation"\nprompt = "question"\ncompletion = "answer"',
        "asked.jsonl",
        "[decode]\nmax_new_tokens = 4\n",
    ),
    "chats.toml": _recipe("base", 'name = "chat"\ntemplate = "plain"', "chats.jsonl"),
    "texts.toml": _recipe("base", 'name = "text"\ntext = "review"', "rows.csv"),
    "folder/file": "something",
}


def resealed(source: Path, target: Path, change: Change) -> None:
    """A copy of an adapter folder that is changed and fits its seals: made so, and not damaged."""
    shutil.copytree(source, target)
    document = json.loads((source / CARD_FILE).read_text())
    tensors = load_file(source / TENSOR_FILE)
    files = {FINGERPRINT_FILE: (source / FINGERPRINT_FILE).read_bytes()}
    change(document, tensors, files)
    files.setdefault(TENSOR_FILE, save(tensors, metadata={"lorafit": function_seal(document)}))
    for name, content in files.items():
        (target / name).write_bytes(content)
        document["files"][name] = {"sha256": sha256(content).hexdigest(), "num_bytes": len(content)}
    (target / CARD_FILE).write_text(json.dumps(document | {"seal": document_seal(document)}))


def save_shape(config: PretrainedConfig, base: Path, target: Path) -> None:
    """A base without weights: the config, with the tokenizer of `base`."""
    shutil.copytree(base, target, ignore=shutil.ignore_patterns("*.safetensors", "*config.json"))
    shutil.copy(base / "tokenizer_config.json", target)
    config.save_pretrained(target)


def other_base(source: Path, target: Path, num_tokens: int | None = None, scale: float = 2.0) -> None:
    """A GPT-2 whose embedding is scaled; with so many tokens of the same."""
    shutil.copytree(source, target)
    weights = load_file(source / "model.safetensors")
    weights["transformer.wte.weight"] = scale * weights["transformer.wte.weight"][:num_tokens]
    (target / "model.safetensors").write_bytes(save(weights, metadata={"format": "pt"}))
    config = json.loads((source / "config.json").read_text())
    config["vocab_size"] = len(weights["transformer.wte.weight"])
    (target / "config.json").write_text(json.dumps(config))


def _tensor(
    tensors: dict[str, Tensor], change: Callable[[Tensor], Tensor], part: str | tuple[str, ...] = "lora_A"
) -> None:
    """Change the tensors whose names end so."""
    for name in tensors:
        if name.endswith(part):
            tensors[name] = change(tensors[name])


VARIANTS: Mapping[str, tuple[str, Change]] = {
    "newer-task": ("adapter", lambda card, *_: card.update(task={"kind": "summary"})),
    "newer-method": ("adapter", lambda card, *_: card.update(method={"name": "vera"})),
    "fewer": ("adapter", lambda _, tensors, __: tensors.__delitem__(min(tensors))),
    "more": ("adapter", lambda _, tensors, __: tensors.update(strange=torch.ones(1))),
    "halves": ("adapter", lambda _, tensors, __: _tensor(tensors, Tensor.half)),
    "wider": ("adapter", lambda card, *_: card["method"].update(r=8)),
    "infinite": ("adapter", lambda _, tensors, __: _tensor(tensors, lambda tensor: tensor / 0)),
    "louder": ("adapter", lambda card, *_: card["method"].update(alpha=99.0)),
    "zeros": ("adapter", lambda _, tensors, __: _tensor(tensors, torch.zeros_like, "lora_B")),
    "still": (
        "adapter",
        lambda _, tensors, __: _tensor(tensors, torch.zeros_like, ("lora_A", "lora_B")),
    ),
    "strangers": ("adapter", lambda _, tensors, __: _tensor(tensors, lambda tensor: tensor.flip(0))),
    "torn": ("adapter", lambda _, __, files: files.update({TENSOR_FILE: b"torn"})),
    "foreign": ("adapter", lambda _, tensors, files: files.update({TENSOR_FILE: save(tensors)})),
    "unprinted": ("adapter", lambda _, __, files: files.update({FINGERPRINT_FILE: b"torn"})),
    "moved": (
        "adapter",
        lambda card, *_: card.update(base=card["base"] | {"id": "gone"}, paths={"gone": "/gone"}),
    ),
    "renamed": ("labels", lambda card, *_: card["task"].update(labels=["bad", "good"])),
    "unnamed": ("labels", lambda card, *_: card["task"].update(labels=None)),
}
"""Adapters that are whole, and not what they should be: what each is made of, and how."""


def furnish(folder: Path, base: Path) -> Path:
    """All that the mistakes need, made once; `base` is a tiny GPT-2."""
    shutil.copytree(base, folder / "base")
    other_base(base, folder / "other-base")
    other_base(base, folder / "smaller-base", 20)
    other_base(base, folder / "nan-base", scale=float("nan"))
    for name in ("llama", "mistral", "deberta-v2", "granite", "phi3"):
        save_shape(FAMILIES[name].tiny_config(vocab_size=512), base, folder / name)
    shutil.copytree(base, folder / "shape", ignore=shutil.ignore_patterns("*.safetensors"))
    save_encoder(folder / "encoder", "roberta")
    for name, sizes in UNKNOWN.items():
        save_shape(AutoConfig.for_model(name, vocab_size=512, **sizes), base, folder / name)
    place(FILES, folder)
    make_adapter(base, folder / "adapter")
    prefix = METHODS["prefix"].model_validate({"length": 2})
    make_adapter(base, folder / "prefixes", prefix)
    classes = {"label": "stars", "labels": ("1", "5")}
    make_adapter(
        folder / "encoder", folder / "labels", task=make_task("classification", text="review", **classes)
    )
    pairs = make_task("classification", text=("first", "second"), **classes)
    make_adapter(folder / "encoder", folder / "pairs", task=pairs)
    make_adapter(
        folder / "encoder",
        folder / "other-labels",
        task=make_task("classification", text="review", **classes),
        strength=0.3,
    )
    make_adapter(folder / "encoder", folder / "mnli", task=make_task("mnli"))
    make_adapter(base, folder / "dora", LoRA(r=4, alpha=8.0, targets=("query", "value"), dora=True))
    places = LoRA(r=2, alpha=4.0, targets=("query", "value"), also_train=("transformer.wpe.weight",))
    make_adapter(base, folder / "positions", places)
    make_adapter(base, folder / "talks", task=make_task("chat", template="plain"))
    recorded = (folder / "adapter" / FINGERPRINT_FILE).read_bytes()
    for name in ("other-base", "smaller-base"):
        make_adapter(folder / name, folder / f"on-{name}")
        resealed(
            folder / f"on-{name}",
            folder / f"strayed-{name}",
            lambda _, __, files: files.update({FINGERPRINT_FILE: recorded}),
        )
    for name, (source, change) in VARIANTS.items():
        resealed(folder / source, folder / name, change)
    for name in ("peft", "loralib", "gguf"):
        export(folder / "adapter", folder / name, name, BaseChoice())
    export(folder / "labels", folder / "peft-labels", "peft", BaseChoice())
    write_run(folder / "runs", "e2e_gpt2m", 0, e2e_scores(70.0))
    _begin(folder, "begun")
    return folder


def _begin(folder: Path, name: str) -> None:
    """A run of reviews.toml that has a checkpoint and no scores yet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        done = run_here(patch, ["train", "reviews.toml", "--output", name])
    assert done.code == 0, done.err
    (folder / name / "scores.json").unlink()


def workplace(furnished: Path, folder: Path, mistake: Mistake) -> Path:
    """For one mistake: links to what every recipe needs and to what is typed, and copies of what it changes."""
    changed = {"runs", *(Path(name).parts[0] for name in mistake.files)}
    for path in furnished.iterdir():
        if path.name in changed and path.is_dir():
            shutil.copytree(path, folder / path.name)
        elif path.name in changed:
            shutil.copy(path, folder / path.name)
        elif path.is_file() or path.name in RECIPES_NEED or path.name in mistake.typed:
            (folder / path.name).symlink_to(path)
    place(mistake.files, folder)
    return folder

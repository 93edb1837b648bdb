"""Adapters of other programs: their files, and what does not fit the base."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from tests.messages.mistakes import Mistake, Table, edited, half

LORALIB = "import loralib out --format loralib --base base --alpha 8"
PEFT = "import peft out --format peft --base base"
GGUF = "import gguf out --format gguf --base base"
CONFIG, TENSORS, CHECKPOINT = (
    "peft/adapter_config.json",
    "peft/adapter_model.safetensors",
    "loralib/pytorch_model_lora.bin",
)
FIRST = "transformer.h.0.attn.c_attn"
Tensors = dict[str, Any]


def saved(document: object) -> bytes:
    """As torch.save writes it."""
    import torch

    stream = io.BytesIO()
    torch.save(document, stream)
    return stream.getvalue()


def of_loralib(change: Callable[[Tensors], object], read: str, *options: str, base: str = "base") -> Mistake:
    """A checkpoint of loralib, whose tensors are changed or replaced by what the change gives."""

    def changed(content: bytes) -> bytes:
        import torch

        document = torch.load(io.BytesIO(content), weights_only=True)["model_state_dict"]
        return saved(change(document) or document)

    typed = " ".join([LORALIB.replace("--base base", f"--base {base}"), *options])
    return Mistake(typed, read, {CHECKPOINT: changed})


def of_peft(change: Callable[[Tensors], object], read: str, typed: str = PEFT, **config: object) -> Mistake:
    """A PEFT adapter whose tensors are changed."""

    def changed(content: bytes) -> bytes:
        from safetensors.torch import load, save

        document = load(content)
        kept: Any = change(document) or document
        return save(kept)

    folder = typed.split()[1]
    files = {
        f"{folder}/adapter_model.safetensors": changed,
        f"{folder}/adapter_config.json": edited(**config),
    }
    return Mistake(typed, read, files)


def with_more(**more: object) -> Callable[[Tensors], object]:
    """The same, and more."""
    return lambda tensors: tensors | more


def ones(*shape: int) -> Any:
    """A tensor."""
    import torch

    return torch.ones(shape)


def scaled(number: float) -> Callable[[Tensors], object]:
    """Every tensor times a number."""
    return lambda tensors: {name: tensor * number for name, tensor in tensors.items()}


def renamed(old: str, new: str) -> Callable[[Tensors], object]:
    """Every name with another part."""
    return lambda tensors: {name.replace(old, new): tensor for name, tensor in tensors.items()}


def without(part: str) -> Callable[[Tensors], object]:
    """Those whose names do not hold it."""
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if part not in name}


MISTAKES: Table = {
    "interop/base_tensors.py": (
        of_loralib(
            lambda t: t | {"module.transformer.wte.weight": ones(9, 9)},
            "loralib/pytorch_model_lora.bin: 'transformer.wte.weight' is [9, 9], and the base's "
            "[350, 32]; 1 of its 1 tensors of the base are not those of base: it was merged into its "
            "base, or more than LoRA was trained, or on another base",
        ),
        of_loralib(
            lambda t: t | {"module.strange.weight": ones(9, 9)},
            "loralib/pytorch_model_lora.bin: 'strange.weight' has no place in the model; wrong base, "
            "or not plain LoRA",
        ),
        of_loralib(
            lambda t: t | {"module.transformer.wte.weight": ones(9, 9)},
            "loralib/pytorch_model_lora.bin: holds 'transformer.wte.weight' and other tensors of the "
            "base, and the weights of shape are not here to compare them with; use --base … (a "
            "folder with its weights), or keep only what was trained in the file",
            base="shape",
        ),
    ),
    "interop/checkpoint_file.py": (
        Mistake("import nowhere.bin out --format loralib --base base --alpha 8", "nowhere.bin: no such file"),
        of_loralib(
            lambda t: t | {f"module._orig_mod.{FIRST}.lora_A": ones(8, 32)},
            "loralib/pytorch_model_lora.bin: holds 'module.transformer.h.….attn.c_attn.lora_A' and "
            "'module._orig_mod.transformer.h.0.attn.c_attn.lora_A', which are one tensor of the model",
        ),
        Mistake(
            "import a.safetensors out --format loralib --base base --alpha 8",
            "a.safetensors: not a whole safetensors file: Error while deserializing header: header too small",
            {"a.safetensors": b"short"},
        ),
        of_loralib(lambda _: [1], "loralib/pytorch_model_lora.bin: is not a state dict"),
        of_loralib(
            lambda t: {"model": t, "model_state_dict": t},
            "loralib/pytorch_model_lora.bin: holds two models, 'model_state_dict' and 'model'",
        ),
        of_loralib(
            lambda t: t | {"strange": 3},
            "loralib/pytorch_model_lora.bin: 'strange' is neither a tensor of the model nor known to "
            "be without effect; save the state dict alone",
        ),
    ),
    "interop/convert.py": (
        Mistake(
            LORALIB.replace("--base base", "--base encoder"),
            "loralib/pytorch_model_lora.bin: holds no classification head, without which a roberta is no use",
        ),
        of_loralib(
            renamed("c_attn", "c_attm"),
            "loralib/pytorch_model_lora.bin: adapts 'module.transformer.h.….attn.c_attm', which this "
            "base does not have; wrong base",
        ),
        of_loralib(
            renamed("attn.c_attn", "ln_1"),
            "loralib/pytorch_model_lora.bin: adapts 'transformer.h.….ln_1', a LayerNorm, of which "
            "there is no LoRA layer",
        ),
        Mistake(
            "import loralib out --format loralib --base base --alpha 1e38",
            "loralib/pytorch_model_lora.bin: alpha 1e+38 is none that LoRA can have",
        ),
        of_loralib(
            scaled(float("nan")),
            "loralib/pytorch_model_lora.bin: 'transformer.h.….attn.c_attn.lora_…' holds values that "
            "are NaN or infinite",
        ),
        of_loralib(
            lambda t: {name: tensor[:0] if "lora_A" in name else tensor[:, :0] for name, tensor in t.items()},
            "loralib/pytorch_model_lora.bin: has a layer of rank 0",
        ),
        Mistake(f"{PEFT} --alpha 8", "alpha 8: peft files hold their own alpha; leave out --alpha"),
        Mistake(
            "import loralib out --format loralib --base base",
            "loralib/pytorch_model_lora.bin: a loralib file does not hold alpha; use --alpha … (32 "
            "for the paper's gpt2 checkpoints)",
        ),
    ),
    "interop/foreign.py": (
        of_loralib(
            lambda t: {
                f"{o}.{name.removeprefix('module.')}": v for name, v in t.items() for o in ("one", "two")
            },
            "loralib/pytorch_model_lora.bin: holds several models, in 'one.' and 'two.'",
        ),
    ),
    "interop/peft_config.py": (
        Mistake(
            "import folder out --format peft --base base",
            "folder: no adapter_config.json there, so it is not a PEFT adapter",
        ),
        Mistake(
            PEFT,
            "peft/adapter_config.json: not a LoRA configuration of PEFT: Expecting property name "
            "enclosed in double quotes: line 1 column 2 (char 1)",
            {CONFIG: "{"},
        ),
        Mistake(
            PEFT, "peft/adapter_config.json: not a LoRA configuration of PEFT: no JSON object", {CONFIG: "[]"}
        ),
        Mistake(PEFT, "peft/adapter_config.json: peft_type is missing", {CONFIG: edited(peft_type=...)}),
    ),
    "interop/peft_modules.py": (
        of_peft(
            renamed("c_attn", "c_attm"),
            "peft: adapts 'transformer.h.….attn.c_attm', which this base does not have; wrong base",
        ),
    ),
    "interop/readers/base.py": (
        of_peft(without("lora_A"), "peft: 'transformer.h.….attn.c_attn' has only one of its two factors"),
        of_peft(lambda _: {"a": ones(1)}, "peft: holds no adapter"),
    ),
    "interop/readers/gguf.py": (
        Mistake("import nowhere.gguf out --format gguf --base base", "nowhere.gguf: no such file"),
        Mistake(
            GGUF,
            "gguf/adapter.gguf: not a whole GGUF file: cannot reshape array of size … into shape (96,8)",
            {"gguf/adapter.gguf": half},
        ),
        Mistake(
            GGUF,
            "gguf/adapter.gguf: not a whole GGUF file: index 0 is out of bounds for axis 0 with size 0",
            {"gguf/adapter.gguf": b"GGUF"},
        ),
    ),
    "interop/readers/loralib.py": (
        of_loralib(
            without("h.0.attn.c_attn.lora_A"),
            "loralib/pytorch_model_lora.bin: 'module.transformer.h.….attn.c_attn' has lora_B alone, "
            "and not both factors",
        ),
        of_loralib(
            lambda _: {"a": ones(1)},
            "loralib/pytorch_model_lora.bin: holds no lora_A, so it is not a LoRA checkpoint of loralib",
        ),
        of_loralib(
            lambda t: {name: tensor.flatten() for name, tensor in t.items()},
            "loralib/pytorch_model_lora.bin: 'transformer.h.….attn.c_attn': lora_A and lora_B must "
            "be matrices",
        ),
        of_loralib(
            lambda t: t,
            "loralib/pytorch_model_lora.bin: 'transformer.h.….attn.c_attn' adapts 2 of 3 slices of "
            "its output; use --target … (the slices that it adapts, such as query)",
            "--target query",
        ),
    ),
    "interop/readers/peft.py": (
        Mistake(
            PEFT, "peft: neither adapter_model.safetensors nor adapter_model.bin is there", {TENSORS: None}
        ),
        Mistake(
            PEFT,
            "peft/adapter_model.safetensors: cannot be read: Error while deserializing header: "
            "incomplete metadata, file not fully covered",
            {TENSORS: half},
        ),
        Mistake(
            PEFT,
            "peft/adapter_model.bin: is not a state dict",
            {TENSORS: None, "peft/adapter_model.bin": lambda _: saved([1])},
        ),
        Mistake(
            PEFT,
            "peft/adapter_model.bin: 'a' is no tensor",
            {TENSORS: None, "peft/adapter_model.bin": lambda _: saved({"a": 1})},
        ),
    ),
    "interop/hub.py": (
        Mistake(
            "HF_HUB_OFFLINE=1 export adapter out --push-to-hub owner/name",
            "owner/name: the hub is out of reach (OfflineModeIsEnabled); the export itself is done: "
            "out; run `hf upload owner/name out` (later)",
            leaves=("out",),
        ),
    ),
    "interop/models/weights_proof.py": (
        Mistake(
            "merge zeros out",
            "zeros: adapter not applied: the merged weights equal the base's, since the adapter is "
            "zero or lost in rounding to float32; use --dtype float32",
        ),
    ),
}

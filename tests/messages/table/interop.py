"""Adapters of other programs: their files, and what does not fit the base."""

from __future__ import annotations

import io
import pickle
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.messages.mistakes import Mistake, Table, edited, half, saved

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


def of_gguf(
    read: str, base: str = "base", tensor: str = "blk.0.attn_qkv", parts: str = "ab", **facts: str | float
) -> Mistake:
    """A file as llama.cpp's converter writes it, with those facts: adapter__type="lora" is `adapter.type`."""

    def written(_: bytes) -> bytes:
        import gguf
        import numpy as np

        told: dict[str, str | float] = {"general__type": "adapter", "adapter__type": "lora"}
        told |= {"adapter__lora__alpha": 8.0} | facts
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "some.gguf")
            writer = gguf.GGUFWriter(file, "gpt2")
            for name, value in told.items():
                key = name.replace("__", ".")
                if isinstance(value, float):
                    writer.add_float32(key, value)
                else:
                    writer.add_string(key, value)
            for part in parts:
                writer.add_tensor(
                    f"{tensor}.weight.lora_{part}", np.ones((96, 2) if part == "b" else (2, 32), "f4")
                )
            for write in (
                writer.write_header_to_file,
                writer.write_kv_data_to_file,
                writer.write_tensors_to_file,
            ):
                write()
            writer.close()
            return file.read_bytes()

    return Mistake(GGUF.replace("--base base", f"--base {base}"), read, {"gguf/adapter.gguf": written})


def head_alone(tensors: Tensors) -> object:
    """The same head with an adapter of one of its matrices, and no other."""
    name = "base_model.model.classifier.dense"
    factors = {f"{name}.lora_A.weight": ones(4, 32), f"{name}.lora_B.weight": ones(32, 4)}
    return without("lora_")(tensors) | factors


def with_more(**shapes: Sequence[int]) -> Callable[[Tensors], object]:
    """The same, and ones of those shapes."""
    return lambda tensors: tensors | {name: ones(*shape) for name, shape in shapes.items()}


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


def without(part: str) -> Callable[[Tensors], Tensors]:
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
        of_peft(
            head_alone,
            "peft-labels: adapts nothing but the head, which trains whole here; merge it with PEFT",
            "import peft-labels out --format peft --base encoder",
            target_modules=["classifier.dense"],
            modules_to_save=["classifier.out_proj"],
            task_type=None,
        ),
        of_peft(
            with_more(**{"base_model.model.strange.bias": [3]}),
            "peft: 'strange.bias' is no parameter of this base; wrong base",
            bias="all",
        ),
        of_peft(
            with_more(
                **{f"base_model.model.transformer.ln_f.{part}": [1, 32] for part in ("weight", "bias")}
            ),
            "peft: 'transformer.ln_f.bias' is [1, 32], but this base has [32]; wrong base",
            modules_to_save=["ln_f"],
        ),
        of_gguf("gguf/adapter.gguf: alpha -8 must be positive", adapter__lora__alpha=-8.0),
        of_loralib(
            lambda _: {
                f"model.layers.0.mlp.gate_up_proj.{name}": ones(*shape)
                for name, shape in (("lora_A", (8, 32)), ("lora_B", (64, 4)))
            },
            "loralib/pytorch_model_lora.bin: adapts parts of modules that have no name here",
            base="phi3",
        ),
        of_peft(
            without("classifier.dense"),
            "peft-labels: does not hold 'classifier.dense.weight', which leads to the labels, and neither "
            "do the base's files: it was drawn at random when the adapter was trained, and not saved; train "
            "again, and save it too (PEFT: modules_to_save = ['classifier.dense', …])",
            "import peft-labels out --format peft --base encoder",
            modules_to_save=["out_proj"],
            task_type=None,
        ),
        of_peft(
            with_more(**{"base_model.model.transformer.wte.weight": [360, 32]}),
            "peft: 'transformer.wte.weight' has a vocabulary of 360 tokens, and the base one of 350: it was "
            "trained on a base that was resized; resize the base as then (resize_token_embeddings(360)), "
            "save it with its tokenizer, or use --base … (that one)",
            modules_to_save=["wte"],
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
    "models/files/pickled.py": (
        Mistake(
            LORALIB,
            "loralib/pytorch_model_lora.bin: cannot be read with weights_only: it is damaged, or no file of "
            "torch.save",
            {CHECKPOINT: pickle.dumps([1])},
        ),
        Mistake(
            LORALIB,
            "loralib/pytorch_model_lora.bin: cannot be read with weights_only: it holds print beside "
            "tensors, and no code of a file is run",
            {CHECKPOINT: lambda _: saved(print)},
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
        of_peft(
            lambda tensors: tensors,
            "peft: init_lora_weights = 'pissa' changes the base, and the weights of shape are not here to "
            "do the same; use --base … (a folder with its weights)",
            PEFT.replace("--base base", "--base shape"),
            init_lora_weights="pissa",
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
        of_gguf("gguf/adapter.gguf: 'blk.0.attn_qkv.weight.lora_c' is no factor of an adapter", parts="abc"),
        of_gguf(
            "gguf/adapter.gguf: how llama.cpp orders the weights of a mamba is not known here", base="mamba"
        ),
        of_gguf("gguf/adapter.gguf: is for a 'gpt2', and llama is a llama; wrong base", base="llama"),
        of_gguf(
            "gguf/adapter.gguf: adapts 'blk.9.attn_qkv.weight', which this base does not have; wrong base",
            tensor="blk.9.attn_qkv",
        ),
        of_gguf("gguf/adapter.gguf: is no LoRA adapter of llama.cpp", adapter__type="control_vector"),
        of_gguf(
            "gguf/adapter.gguf: adapter.lora.rank = 4 has no counterpart in lorafit", adapter__lora__rank="4"
        ),
        Mistake(
            GGUF,
            "gguf/adapter.gguf: does not say of what architecture it is",
            {"gguf/adapter.gguf": lambda content: content.replace(b"architecture", b"architextura")},
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
        of_loralib(
            lambda _: {f"backbone.layers.0.mixer.conv1d.lora_{part}": ones(8, 8) for part in "AB"},
            "loralib/pytorch_model_lora.bin: 'backbone.layers.0.mixer.conv1d': loralib's update of a "
            "kernel (4,) has a higher rank; an adapter folder holds updates of rank r",
            base="mamba",
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
            "owner/name: the hub is out of reach (HF_HUB_OFFLINE is set); the export itself is done: "
            "out; run `hf upload owner/name out` (later)",
            leaves=("out",),
        ),
    ),
    "verbs/import_.py": (
        of_loralib(
            scaled(1e30),
            "loralib (loralib): with it base answers with values that are not finite; its lora_alpha / r "
            "comes to 8 / 4",
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

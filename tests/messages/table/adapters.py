"""Adapter folders that are damaged, edited, of another base, or none."""

from __future__ import annotations

from tests.messages.mistakes import Mistake, Table, edited, half, sealed

CARD, TENSORS, PRINT = (
    "adapter/adapter.json",
    "adapter/adapter.safetensors",
    "adapter/fingerprint.safetensors",
)


FILE = {"sha256": "0", "num_bytes": 1}

MISTAKES: Table = {
    "adapters/check.py": (
        Mistake(
            "verify louder",
            "wrong alpha or r: louder: wrong alpha or r: alpha / r is 24.75, but the recorded answers fit 2",
        ),
        Mistake(
            "verify zeros",
            "adapter not applied: zeros: adapter not applied: with it the model answers as without "
            "it, but the trained one did not",
        ),
        Mistake(
            "verify strangers",
            "corrupted file: strangers: adapter.safetensors and fingerprint.safetensors are not of "
            "the same training: the answers differ by 0.532, allowed 0.0001, and no other alpha "
            "explains it",
        ),
        Mistake(
            "verify strayed-other-base",
            "wrong base: strayed-other-base: wrong base: without the adapter it answers otherwise "
            "than the base trained on (by 0.719, allowed 0.0001)",
        ),
        Mistake(
            "verify strayed-smaller-base",
            "wrong base: strayed-smaller-base: wrong base: it has fewer tokens than the one trained on",
        ),
    ),
    "adapters/folder.py": (
        Mistake(
            "eval adapter", "adapter/adapter.json: nested too deeply; the file is damaged", {CARD: "[" * 9999}
        ),
        Mistake(
            "eval adapter",
            "adapter/adapter.json: files: does not list adapter.safetensors; the file was edited",
            {CARD: sealed(files={})},
        ),
        Mistake(
            "eval adapter",
            "adapter/adapter.json: was edited after it was written (its seal does not fit); train or "
            "import again, or use --base … (where only the path of the base has changed)",
            {CARD: edited(scores={"bleu": 99.0})},
        ),
        Mistake("eval nowhere", "nowhere: no such adapter folder"),
        Mistake("train answers.toml --set train.init_from=nowhere", "nowhere: no such adapter folder"),
        Mistake("train answers.toml --set method.init_from=nowhere", "nowhere: no such adapter folder"),
        Mistake(
            "eval nest",
            "nest: no adapter.json there, so it is not an adapter folder; did you mean 'nest/adapter'?",
            {"nest/adapter/adapter.json": "{}"},
        ),
        Mistake("eval folder", "folder: no adapter.json there, so it is not an adapter folder"),
        Mistake(
            "eval adapter",
            "adapter/adapter.json: not readable as JSON: Expecting property name enclosed in double "
            "quotes: line 1 column 2 (char 1)",
            {CARD: "{"},
        ),
        Mistake("eval adapter", "adapter/adapter.json: not a JSON object; the file is damaged", {CARD: "[]"}),
        Mistake(
            "eval adapter",
            "adapter/adapter.json: format version 99 is newer than this lorafit reads (2); upgrade "
            "lorafit, or the file is damaged",
            {CARD: edited(format_version=99)},
        ),
        Mistake(
            "eval adapter",
            "adapter/adapter.json: metod: Extra inputs are not permitted; did you mean 'method'?; "
            "the file is damaged or was edited",
            {CARD: edited(metod={})},
        ),
        Mistake(
            "eval adapter",
            "adapter/adapter.json: files: lists '../adapter.safetensors', which does not lie in the folder",
            {CARD: sealed(files={"../adapter.safetensors": FILE, "adapter.safetensors": FILE})},
        ),
        Mistake(
            "eval adapter",
            "adapter/adapter.json: files.x: Input should be an object; did you mean 'files'?; the "
            "file is damaged or was edited",
            {CARD: edited(files__x=1)},
        ),
        Mistake(
            "eval adapter",
            "adapter/adapter.safetensors: has 2624 bytes instead of 5248; the file is damaged",
            {TENSORS: half},
        ),
        Mistake(
            "eval adapter",
            "adapter/adapter.safetensors: its bytes are not those that were written (sha256); the "
            "file is damaged",
            {TENSORS: lambda content: content[:-1] + b"x"},
        ),
        Mistake(
            "eval adapter",
            "adapter/adapter.safetensors: cannot be read: No such file or directory; the file is damaged",
            {TENSORS: None},
        ),
        Mistake(
            "eval adapter",
            "adapter/adapter.json: was edited after it was written; by it, adapter.safetensors has "
            "2624 bytes instead of 5248",
            {TENSORS: half, CARD: edited(scores={"bleu": 99.0})},
        ),
        Mistake(
            "eval adapter",
            "adapter/adapter.json: was edited after it was written; by it, adapter.safetensors "
            "cannot be read: No such file or directory",
            {TENSORS: None, CARD: edited(scores={"bleu": 99.0})},
        ),
        Mistake(
            "eval adapter",
            "adapter/adapter.json: was edited after it was written; by it, adapter.safetensors its "
            "bytes are not those that were written (sha256)",
            {TENSORS: lambda content: content[:-1] + b"x", CARD: edited(scores={"bleu": 99.0})},
        ),
        Mistake(
            "eval torn",
            "torn/adapter.safetensors: not a readable safetensors file: Error while deserializing: "
            "header too small",
        ),
        Mistake(
            "eval infinite",
            "infinite/adapter.safetensors: 'transformer.h.….attn.c_attn.lora_A' holds values that "
            "are not finite",
        ),
        Mistake(
            "eval unprinted",
            "unprinted/fingerprint.safetensors: not a readable fingerprint: Error while "
            "deserializing: header too small",
        ),
    ),
    "adapters/restore.py": (
        Mistake(
            "eval moved",
            "moved: its base gone is neither here nor where it was (/gone); use --base … (where it is now)",
        ),
        Mistake(
            "predict fewer hi",
            "fewer/adapter.safetensors: 1 tensors are missing, such as 'transformer.h.….attn.c_attn.lora_A'",
        ),
        Mistake(
            "train answers.toml --dry-run --set train.init_from=positions",
            "positions/adapter.safetensors: 1 tensors have no place in the model, such as "
            "'transformer.wpe.weight'",
        ),
        Mistake(
            "predict more hi",
            "more/adapter.safetensors: 1 tensors have no place in the model, such as 'strange'",
        ),
        Mistake(
            "predict halves hi",
            "halves/adapter.safetensors: 'transformer.h.….attn.c_attn.lora_A' is torch.float16; "
            "trained tensors are float32",
        ),
        Mistake(
            "predict wider hi",
            "wider/adapter.safetensors: 'transformer.h.….attn.c_attn.lora_A' is [8, 32], but the "
            "base and adapter.json ask for [16, 32]; wrong r",
        ),
        Mistake(
            "predict newer-method hi",
            "newer-method/adapter.json: method: 'vera' is not a method that this lorafit knows: …",
        ),
        Mistake(
            "predict adapter hi --base other-base",
            "adapter: wrong base: the weights of other-base are not what the adapter was trained on "
            "(…); use --base … (the right one), or use --force (uses this one "
            "nevertheless)",
        ),
    ),
    "adapters/seal.py": (
        Mistake(
            "eval adapter",
            "adapter/adapter.json: was changed after training: method.alpha is 99.0, trained with 8.0",
            {CARD: edited(method__alpha=99.0)},
        ),
        Mistake(
            "eval foreign",
            "foreign/adapter.json: the tensors carry no seal that fits it; one of the two files is foreign",
        ),
    ),
}

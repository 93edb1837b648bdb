"""What a library advises and we forbid is never printed, whatever file makes it speak; and no code of a file is run."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lorafit.errors import reason_of
from tests.conftest import recipe_overrides
from tests.support.adapter_fixtures import run_here

ADVICE = re.compile(
    r"weights_only\W+(=|to)?\W*`?False|trust_remote_code|pip3? install|huggingface-cli|hf auth login|re-?run"
    r"|https?://|Traceback",
    re.IGNORECASE,
)


MARKER = "code-was-run"


def quick(base: Path, data: Path) -> list[str]:
    return recipe_overrides(base, data, eval__metrics=["bleu"])


class Code:
    """Runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.marker}",)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, gpt2_base: Path, e2e_dir: Path) -> Path:
    """A finished run."""
    folder = tmp_path_factory.mktemp("run") / "run"
    with pytest.MonkeyPatch.context() as patch:
        command = ["train", "e2e_gpt2m", *quick(gpt2_base, e2e_dir), "--output", folder]
        assert run_here(patch, command).code == 0
    return folder


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., str]:
    """Run a command, and look at everything that it printed."""

    def command(*arguments: Any, codes: tuple[int, ...] = (3,)) -> str:
        done = run_here(monkeypatch, arguments)
        text = done.out + done.err
        assert done.code in codes, text
        assert not ADVICE.search(text), text
        assert not (tmp_path / MARKER).exists()
        assert all(len(line) < 500 for line in done.err.splitlines())
        return text

    return command


def test_a_base_with_code_in_its_weights(
    told: Callable[..., str], run: Path, gpt2_base: Path, e2e_dir: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(gpt2_base, base)
    (base / "model.safetensors").unlink()
    torch.save({"a": torch.zeros(2), "b": Code(tmp_path / MARKER)}, base / "pytorch_model.bin")
    output = tmp_path / "out"
    for command in (
        ("train", "e2e_gpt2m", *quick(base, e2e_dir), "--output", output),
        ("eval", run / "adapter", "--base", base),
        ("eval", run / "adapter", "--base", base, "--force", "--output", output),
        ("predict", run / "adapter", "a", "--base", base),
        ("verify", run / "adapter", "--base", base),
        ("merge", run / "adapter", output, "--base", base, "--force"),
        ("export", run / "adapter", output, "--base", base),
        ("fetch", "e2e_gpt2m", *quick(base, e2e_dir), "--lock", tmp_path / "lock"),
    ):
        assert "posix.system beside tensors, and no code of a file is run" in told(*command), command


@pytest.mark.parametrize("content", [b"no pickle", b"\x80\x04N.", b""], ids=["text", "short", "empty"])
def test_a_base_whose_weights_are_damaged(
    told: Callable[..., str], gpt2_base: Path, e2e_dir: Path, tmp_path: Path, content: bytes
) -> None:
    base = tmp_path / "base"
    shutil.copytree(gpt2_base, base)
    for name in ("model.safetensors", "pytorch_model.bin"):
        (base / "model.safetensors").unlink(missing_ok=True)
        (base / name).write_bytes(content)
        told("train", "e2e_gpt2m", *quick(base, e2e_dir))
        (base / name).unlink()


def test_foreign_adapters_with_code(told: Callable[..., str], gpt2_base: Path, tmp_path: Path) -> None:
    config = {"peft_type": "LORA", "r": 1, "lora_alpha": 1, "target_modules": ["x"]}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    for name, kind, more in (
        ("adapter_model.bin", "peft", ()),
        ("lora.pt", "loralib", ("--alpha", "1")),
        ("lora.bin", "loralib", ("--alpha", "1")),
    ):
        torch.save({"x.lora_A": torch.zeros(1, 2), "b": Code(tmp_path / MARKER)}, tmp_path / name)
        file = tmp_path if kind == "peft" else tmp_path / name
        command = ("import", file, tmp_path / "o", "--format", kind, "--base", gpt2_base, *more)
        assert "posix.system" in told(*command, codes=(6,))


def test_a_checkpoint_with_code(
    told: Callable[..., str], run: Path, gpt2_base: Path, e2e_dir: Path, tmp_path: Path
) -> None:
    copied = tmp_path / "run"
    shutil.copytree(run, copied)
    (copied / "scores.json").unlink()
    for folder in (copied / "checkpoints").iterdir():
        state, manifest = folder / "state.pt", json.loads((folder / "manifest.json").read_text())
        torch.save({"trained": Code(tmp_path / MARKER)}, state)
        content = state.read_bytes()
        manifest["files"]["state.pt"] = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "num_bytes": len(content),
        }
        (folder / "manifest.json").write_text(json.dumps(manifest))
    command = ("train", "e2e_gpt2m", *quick(gpt2_base, e2e_dir), "--output", copied)
    assert "skipped a damaged checkpoint: " in told(*command, codes=(0,))


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("config.json", {"model_type": "strange", "auto_map": {"AutoConfig": "strange.Config"}}),
        ("config.json", {"model_type": "strange"}),
        ("config.json", {"model_type": None}),
        ("config.json", {"n_embd": "wide"}),
        (
            "tokenizer_config.json",
            {"tokenizer_class": "Strange", "auto_map": {"AutoTokenizer": ["s.T", None]}},
        ),
        ("tokenizer.json", {"model": {"type": "Strange"}}),
    ],
)
def test_a_base_that_wants_code_of_its_own(
    told: Callable[..., str],
    run: Path,
    gpt2_base: Path,
    e2e_dir: Path,
    tmp_path: Path,
    file: str,
    changes: dict[str, Any],
) -> None:
    base = tmp_path / "base"
    shutil.copytree(gpt2_base, base)
    (base / "strange.py").write_text(f"open({str(tmp_path / MARKER)!r}, 'w')")
    (base / file).write_text(json.dumps(json.loads((base / file).read_text()) | changes))
    train = ("train", "e2e_gpt2m", *quick(base, e2e_dir))
    for command in (
        (*train, "--output", tmp_path / "out"),
        (*train, "--dry-run"),
        ("eval", run / "adapter", "--base", base, "--force", "--metric", "bleu"),
        ("data", "show", "e2e_gpt2m", *quick(base, e2e_dir)),
    ):
        told(*command, codes=(0, 3))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "Weights only load failed. Re-running `torch.load` with `weights_only` set to `False`",
            "ValueError",
        ),
        ("To use it\nrun: `pip install x`", "To use it"),
        ("you need to run pip install x", "ValueError"),
        (
            "Validation error for field 'n_embd':\n    expected int",
            "Validation error for field 'n_embd': expected int",
        ),
        ("", "ValueError"),
        ("x" * 999, "x" * 200 + "…"),
    ],
)
def test_a_librarys_words_are_one_line_without_advice(words: str, said: str) -> None:
    assert reason_of(ValueError(words)) == said

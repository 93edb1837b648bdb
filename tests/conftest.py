"""What many tests need: tiny real models as Hugging Face folders, small data, the command line."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: one test process, one core
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import gc
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

from lorafit.__main__ import main
from lorafit.models import FAMILIES
from lorafit.recipe import assignment
from tests.support import warm

torch.set_num_threads(1)
gc.disable()  # until all tests are imported and collected
warm.do_not_wait_for_the_disk()
ROOT = Path(__file__).resolve().parents[1]

CONTEXTS = [
    f"name : {name} | area : {area} | food : {food}"
    for name in ("Alimentum", "Cotto", "Zizzi", "Aromi", "Clowns")
    for area in ("city centre", "riverside")
    for food in ("Italian", "French")
]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def evaluate_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The evaluate library, with a cache of its own; a process can have but one."""
    import evaluate.config
    import evaluate.utils.file_utils

    at_once = SimpleNamespace(sleep=lambda _: None)  # there is no hub that would answer later
    folder = tmp_path_factory.mktemp("evaluate")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HF_MODULES_CACHE", "HF_EVALUATE_CACHE", "HF_METRICS_CACHE"):
            patch.setattr(evaluate.config, name, folder)
        patch.setattr(evaluate.utils.file_utils, "time", at_once)
        yield folder


@pytest.fixture(scope="session")
def shared() -> Path:
    """Development data that lies beside the repository; tests that use it skip without it."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the development data is not here")
    return folder


def e2e_sentence(context: str) -> str:
    """A fixed sentence for a context of CONTEXTS."""
    name, area, food = (slot.split(" : ")[1] for slot in context.split(" | "))
    return f"{name} serves {food} food in the {area} ."


def e2e_rows(contexts: Sequence[str]) -> str:
    """Lines of an E2E file, two references per context."""
    lines = []
    for context in contexts:
        sentence = e2e_sentence(context)
        lines += [f"{context}||{sentence} ", f"{context}||There is a place , {sentence} "]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="session")
def e2e_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set in E2E's layout."""
    folder = tmp_path_factory.mktemp("e2e")
    (folder / "train.txt").write_text(e2e_rows(CONTEXTS[:14]))
    (folder / "valid.txt").write_text(e2e_rows(CONTEXTS[14:17]))
    (folder / "test.txt").write_text(e2e_rows(CONTEXTS[17:]))
    return folder


@pytest.fixture(scope="session")
def make_base(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function that saves a tiny random base with its tokenizer as a Hugging Face folder."""

    def make(model_type: str = "gpt2", seed: int = 0, **changes: Any) -> Path:
        family = FAMILIES[model_type]
        folder = tmp_path_factory.mktemp(model_type)
        tokenizer = family.tiny_tokenizer([e2e_rows(CONTEXTS)])
        tokenizer.save_pretrained(folder)
        sizes = {"vocab_size": len(tokenizer), "max_position_embeddings": 128}
        torch.manual_seed(seed)
        auto = AutoModelForCausalLM if "text" in family.heads else AutoModelForMaskedLM
        auto.from_config(family.tiny_config(**(sizes | changes))).save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def gpt2_base(make_base: Callable[..., Path]) -> Path:
    """A tiny random GPT-2."""
    return make_base("gpt2")


@pytest.fixture
def lorafit() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line as a user does; `code` is the exit code that is expected."""

    def run(*arguments: str | Path, code: int = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
        done = warm.run(*arguments, stdin=stdin)
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        if code:
            assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Processes that share the work of all tests share what starts their commands, too."""
    node.workerinput["helper"] = str(warm.helper())


def pytest_configure(config: pytest.Config) -> None:
    """The other end of it."""
    if hasattr(config, "workerinput"):
        warm.share(Path(config.workerinput["helper"]))


def pytest_collection_finish() -> None:
    """What is there now stays: no collection of garbage, ours or Python's, need look through it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(5000)  # 700 objects are a small part of a tiny net
    gc.enable()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How exactly the recorded numbers of tests/links/test_same_numbers.py were compared; what had no browser."""
    reports = terminalreporter.stats.get("passed", [])
    ways = Counter(how for each in reports for name, how in each.user_properties if name == "same_numbers")
    for how, count in ways.items():
        terminalreporter.write_line(f"same numbers: {count} recorded cases compared {how}")
    unseen = sum("Chromium" in str(each.longrepr) for each in terminalreporter.stats.get("skipped", []))
    if unseen:
        terminalreporter.write_line(f"{unseen} tests skipped: no Chromium (apt-get install chromium)")


@dataclass(frozen=True)
class Done:
    """What a command wrote."""

    stdout: str
    stderr: str


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run a command inside this process, without the wait for imports; `code` is the exit code expected."""

    def run(*arguments: str | Path, code: int = 0) -> Done:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["lorafit", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        done = Done(captured.out, captured.err)
        assert (ended.value.code or 0) == code, f"{ended.value.code}\n{done.stdout}\n{done.stderr}"
        if code:
            assert "Traceback" not in done.stderr
        return done

    return run


def recipe_overrides(base: Path | str, data: Path, **more: Any) -> list[str]:
    """--set options that fit e2e_gpt2m to a tiny base."""
    values = {
        "model.base": base,
        "data.dir": data,
        "train.epochs": 1,
        "train.warmup_steps": 2,
        "train.learning_rate": 0.01,
        "decode.num_beams": 2,
        "decode.max_new_tokens": 12,
        "decode.eos_token_ids": [0],
        "train.log_every": 1,
        **{key.replace("__", "."): value for key, value in more.items()},
    }
    pairs = [
        assignment(key, value) if isinstance(value, list | dict | bool) else f"{key}={value}"
        for key, value in values.items()
    ]
    return [argument for pair in pairs for argument in ("--set", pair)]

"""What a command does not use, it does not import."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from lorafit.cli.app import COMMANDS, GROUPS, Commands
from lorafit.track import TRACKERS
from tests.conftest import ROOT
from tests.support.adapter_fixtures import make_adapter

NEURAL = {"torch", "transformers", "datasets", "tokenizers", "evaluate", "accelerate"}
NUMERIC = {"numpy", "scipy", "sklearn", "pyarrow", "pandas", "matplotlib"}
NETWORK = {"httpx", "httpx2", "requests", "aiohttp"}
COMPILER = {"sympy", "torch._dynamo", "torch._inductor"}
CODE = """
import sys
from lorafit.__main__ import main
sys.argv = ["lorafit", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    code = end.code
print(*sys.modules, file=sys.stderr)
sys.exit(code)
"""


@cache
def imported(*arguments: str | Path) -> set[str]:
    """The modules that a command has imported when it ends well."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("train", "--help"),
        ("merge", "--help"),
        ("recipes", "--table", "2"),
        ("recipe", "schema"),
        ("recipe", "reference"),
        ("table", "2"),
        ("runs", "."),
        ("show", "e2e_gpt2m"),
    ],
    ids=" ".join,
)
def test_help_recipes_and_tables_import_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert imported(*arguments) & (NEURAL | NUMERIC | NETWORK) == set()


@pytest.mark.parametrize(
    ("arguments", "others"),
    [
        (("table", "2"), {"adapters", "conversion", "pages", "training"}),
        (("recipes", "--table", "2"), {"adapters", "conversion", "reports", "training"}),
        (("--version",), {"adapters", "conversion", "recipes", "reports", "training"}),
    ],
    ids=["table", "recipes", "version"],
)
def test_a_command_imports_no_other(arguments: tuple[str, ...], others: set[str]) -> None:
    assert imported(*arguments) & {f"lorafit.cli.commands.{other}" for other in others} == set()


def test_every_command_is_there() -> None:
    commands = Commands(COMMANDS | GROUPS)
    assert {*COMMANDS, *GROUPS} == commands.keys()
    assert all(commands[name].name == name for name in commands)


def test_a_training_run_imports_nothing_for_other_data_and_scores() -> None:
    """What transformers itself brings, such as sympy and scipy.optimize, comes with any of its nets."""
    strangers = (NEURAL | NUMERIC | TRACKERS.keys() | {"peft"}) - {
        "torch",
        "transformers",
        "tokenizers",
        "accelerate",
        "numpy",
        "scipy",
    }
    assert imported("train", "quickstart", "--dry-run") & strangers == set()


def test_a_merge_that_proves_weights_imports_torch_and_no_transformers(
    gpt2_base: Path, tmp_path: Path
) -> None:
    make_adapter(gpt2_base, tmp_path / "adapter")
    found = imported("merge", tmp_path / "adapter", tmp_path / "merged", "--proof", "weights")
    assert "torch" in found
    assert found & (NEURAL | NUMERIC | COMPILER | NETWORK) <= {"torch", "tokenizers", "numpy"}


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    """Two folders of predictions, and texts with references."""
    for name, answer in (("a", "yes"), ("b", "no")):
        lines = [{"input": str(i), "label": "yes", "prediction": answer} for i in range(4)]
        (tmp_path / name).mkdir()
        (tmp_path / name / "valid.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "texts").write_text("a place to eat\nfood by the river\n")
    return tmp_path


def test_score_and_compare_import_no_torch(predictions: Path) -> None:
    texts = predictions / "texts"
    assert imported("score", "e2e", texts, texts, "--metric", "bleu", "--metric", "rouge_l") & NEURAL == set()
    assert imported("compare", predictions / "a", predictions / "b") & NEURAL == set()


def test_the_verb_of_the_original_files_imports_no_torch() -> None:
    code = "import sys; from lorafit.verbs import originals; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & NEURAL == set()


ENCODES = """
import os
from tokenizers import Tokenizer, models
before = len(os.listdir("/proc/self/task"))
Tokenizer(models.WordLevel({"a": 0}, unk_token="a")).encode_batch_fast(["a"] * 100)
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted as Linux shows them")
def test_texts_are_tokenized_by_several_threads() -> None:
    """The tokenizers library follows the environment that the program sets when it starts."""
    code = f"{CODE.partition('try:')[0]}sys.argv[1:] = ['--version']\ntry: main()\nexcept SystemExit: pass{ENCODES}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout.splitlines()[-1]) > 0
    assert not done.stderr

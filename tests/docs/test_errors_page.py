"""docs/errors.md is what the code says, and what a newcomer gets wrong is answered by a line of it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest
from list_errors import CLASSES, Message, messages, page

from tests.conftest import ROOT
from tests.support.adapter_fixtures import make_adapter, run_here
from tests.support.run_folders import e2e_scores, write_run

CSV = "review,stars\nvery good,5\nbad,1\nfine,5\nawful,1\n"
OWN = "own_classification --set data.train=rows.csv --set task.text=review --set task.label=stars --dry-run"
MISTAKES: Sequence[tuple[str, int, str]] = [
    # recipes, their names and their keys
    ("train quickstrat", 3, "did you mean 'quickstart'"),
    ("train folder", 3, "is a folder, not a recipe file"),
    ("train broken.toml", 2, "not valid TOML"),
    ("train latin.toml", 2, "not UTF-8 text"),
    ("train orphan.toml", 2, "no such recipe file"),
    ("train twice.toml", 2, "is not complete"),
    ("train unset.toml", 2, "extends no other"),
    ("train quickstart --set method.rnak=4", 2, "did you mean 'r'"),
    ("train quickstart --set methode.r=4", 2, "did you mean 'method'"),
    ("train quickstart --set method.r=four", 2, "must be a whole number"),
    ("train quickstart --set method.r=0", 2, "greater than"),
    ("train quickstart --set method.name=lroa", 2, "unknown method 'lroa'"),
    ("train quickstart --set task.name=e3e", 2, "unknown task 'e3e'"),
    ("train quickstart --set r=4", 2, "must read section.key=value"),
    ("train quickstart --set train.warmup_ratio=0.1", 2, "exclude each other"),
    ("train quickstart --unset train.batch_sise", 2, "did you mean 'train.batch_size'"),
    ("train quickstart --set eval.metrics=['blue']", 2, "did you mean 'bleu'"),
    ("train quickstart --set track.to=['wanbd']", 2, "did you mean 'wandb'"),
    ("train quickstart --set method.targets=['q_proj'] --dry-run", 2, "matches no module"),
    ("train quickstart --set train.micro_batch_size=99", 2, "is larger than"),
    ("train quickstart --set train.learning_rate=inf", 2, "finite number"),
    # options
    ("train quickstart --seed 1 --seeds 1,2", 2, "exclude each other"),
    ("train quickstart --seeds 1,1", 2, "names a seed twice"),
    ("train quickstart --seeds a", 2, "must be whole numbers"),
    ("train quickstart --time-limit soon", 2, "must be a time such as"),
    ("train quickstart --extend steps=4", 2, "must read epochs=N or max_steps=N"),
    ("train quickstart --output folder", 2, "is not a run folder"),
    ("table 4", 2, "no table '4'"),
    ("table 2 runs --format markdwon", 2, "did you mean 'markdown'"),
    ("recipes --task rtee", 2, "did you mean 'rte'"),
    ("repro table3 --tasks e3e --dry-run", 2, "did you mean 'e2e'"),
    # own rows
    (f"train {OWN}".replace("rows.csv", "rosw.csv"), 3, "no such file"),
    (f"train {OWN}".replace("=review", "=reviews"), 3, "review"),
    (f"train {OWN}".replace("rows.csv", "empty.csv"), 3, "empty"),
    (f"train {OWN}".replace("rows.csv", "short.csv"), 3, "short.csv:3"),
    (f"train {OWN}".replace("rows.csv", "picture.png"), 3, "unknown kind of file"),
    (f"train {OWN} --set data.valid=1.5", 2, "share of the training rows"),
    # adapters and runs
    ("eval nowhere", 3, "no such adapter folder"),
    ("eval folder", 3, "no adapter"),
    ("merge adapter folder", 2, "already exists"),
    ("merge edited out", 6, "edited"),
    ("merge cut out", 6, "adapter.safetensors"),
    ("export adapter out --format peftt", 2, "did you mean 'peft'"),
    ("import nowhere.bin out --format loralib --base base --alpha 16", 3, "nowhere.bin"),
    ("show folder", 3, "neither a run folder"),
    ("show quickstrat", 3, "did you mean 'quickstart'"),
    ("runs nowhere", 3, "no such folder of runs"),
    ("runs --sort agee", 2, "did you mean 'age'"),
    ("runs rm folder --yes", 2, "is no run folder"),
    ("runs rm runs/e2e_gpt2m/seed-0", 2, "use --yes"),
    ("compare runs/e2e_gpt2m/seed-0 nowhere", 3, "nowhere"),
    ("score e2e nowhere.txt rows.csv", 3, "nowhere.txt"),
    ("score e2f rows.csv rows.csv", 2, "did you mean 'e2e'"),
    ("predict adapter --input nowhere.csv --output out.jsonl", 3, "nowhere.csv"),
    ("data show quickstart --set data.dir=nowhere", 3, "nowhere"),
    ("data fetch e3e", 2, "did you mean 'e2e'"),
    ("init nowhere.csv", 3, "nowhere.csv"),
]


@cache
def catalogue() -> tuple[Message, ...]:
    return tuple(messages())


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, gpt2_base: Path) -> Path:
    """What the mistakes need."""
    place = tmp_path_factory.mktemp("mistakes")
    (place / "folder").mkdir()
    (place / "folder" / "file").write_text("something")
    texts = {
        "rows.csv": CSV,
        "empty.csv": "",
        "short.csv": CSV.replace("bad,1", "bad"),
        "broken.toml": "[model",
        "orphan.toml": 'extends = "nobody.toml"\n',
        "child.toml": 'extends = "quickstart"\n',
        "twice.toml": 'extends = "child.toml"\n',
        "unset.toml": 'unset = ["train.epochs"]\n',
    }
    for name, text in texts.items():
        (place / name).write_text(text)
    (place / "latin.toml").write_bytes(b'# caf\xe9\nname = "a"\n')
    (place / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    (place / "base").symlink_to(gpt2_base)
    for name in ("adapter", "edited", "cut"):
        make_adapter(gpt2_base, place / name)
    card = json.loads((place / "edited" / "adapter.json").read_text())
    card["method"]["alpha"] = 99.0
    (place / "edited" / "adapter.json").write_text(json.dumps(card))
    tensors = (place / "cut" / "adapter.safetensors").read_bytes()
    (place / "cut" / "adapter.safetensors").write_bytes(tensors[: len(tensors) // 2])
    write_run(place / "runs", "e2e_gpt2m", 0, e2e_scores(70.0))
    return place


def test_the_page_is_current() -> None:
    told = "run `python scripts/list_errors.py > docs/errors.md`"
    assert (ROOT / "docs" / "errors.md").read_text(encoding="utf-8") == page(catalogue()), told


def test_every_class_that_is_raised_is_in_it() -> None:
    raised = {message.error for message in catalogue()} - {"ValueError"}
    bases = {kind.__base__.__name__ for kind in CLASSES.values() if kind.__base__}
    assert raised | bases >= CLASSES.keys() - {"WrongScaleError"}, "a class that nobody raises"


@pytest.mark.parametrize(("command", "code", "words"), MISTAKES, ids=[each[0] for each in MISTAKES])
def test_a_mistake_is_one_clear_line_of_the_catalogue(
    command: str, code: int, words: str, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workplace)
    before = {path: path.stat().st_mtime_ns for path in workplace.rglob("*")}
    done = run_here(monkeypatch, command.split())
    assert done.code == code, done.err
    lines = done.err.splitlines()
    assert words in done.err
    assert "Traceback" not in done.err
    assert 1 <= len(lines) <= 3, done.err
    for line in lines:
        assert line.startswith("error: "), line
        told = re.compile("|".join(f"(?:{message.pattern.pattern})" for message in catalogue()))
        assert told.search(line), f"not in docs/errors.md: {line}"
    assert {path: path.stat().st_mtime_ns for path in workplace.rglob("*")} == before, "left something behind"

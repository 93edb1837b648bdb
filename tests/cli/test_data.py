"""`lorafit data`: fetch from a server, verify a folder, show rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from lorafit.data.originals import E2E_FILES
from lorafit.tasks import PRESETS
from tests.conftest import CONTEXTS, e2e_sentence

RAW = {file.name: f"{file.name}\n".encode() for file in E2E_FILES.files}


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for the paper's repository, holding small E2E files under the hashes they have."""
    folder = tmp_path / "mirror" / "e2e"
    folder.mkdir(parents=True)
    for name, content in RAW.items():
        (folder / name).write_bytes(content)
    files = tuple(
        replace(file, blob_sha1=hashlib.sha1(b"blob %d\0" % len(RAW[file.name]) + RAW[file.name]).hexdigest())
        for file in E2E_FILES.files
    )
    small = replace(PRESETS["e2e"], original=replace(E2E_FILES, files=files))
    monkeypatch.setitem(PRESETS, "e2e", small)
    monkeypatch.setenv("LORAFIT_DATA_URL", folder.parent.as_uri())
    return folder


@pytest.mark.usefixtures("mirror")
def test_fetch_puts_the_files_where_recipes_look(
    cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    first = json.loads(cli("data", "fetch", "e2e", "--json").stdout)
    assert [entry["downloaded"] for entry in first] == [True] * 3
    folder = tmp_path / "cache" / "lorafit" / "data" / "e2e"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == RAW
    again = cli("data", "fetch", "e2e").stdout
    assert again.count("here already, verified") == 3
    verified = json.loads(cli("data", "verify", "--json").stdout)
    assert [f["status"] for f in verified if f["data"] == "e2e"] == ["original"] * 3
    assert {f["status"] for f in verified if f["data"] != "e2e"} == {"missing"}


@pytest.mark.usefixtures("mirror")
def test_fetch_into_a_folder(cli: Callable[..., Any], tmp_path: Path) -> None:
    out = cli("data", "fetch", "e2e", "--dir", tmp_path / "here").stdout
    assert "downloaded e2e/train.txt (10 B)" in out
    for folder in (tmp_path / "here", tmp_path / "here" / "e2e"):
        assert cli("data", "verify", folder).stdout.count(": original") == 3


def test_a_changed_file_is_named(cli: Callable[..., Any], mirror: Path) -> None:
    (mirror / "valid.txt").write_text("edited")
    error = cli("data", "verify", mirror, code=3).stderr
    assert f"error: {mirror}/valid.txt: is not the original file" in error
    assert "test.txt" not in error
    assert (
        "valid.txt: what file:" in cli("data", "fetch", "e2e", "--dir", mirror.parent / "new", code=3).stderr
    )
    assert not (mirror.parent / "new" / "e2e" / "valid.txt").exists()


def test_nothing_to_fetch_or_verify(cli: Callable[..., Any], mirror: Path, tmp_path: Path) -> None:
    assert "no data set 'webnl'; did you mean 'webnlg'? there are e2e, dart, webnlg" in (
        cli("data", "fetch", "webnl", code=2).stderr
    )
    (mirror / "train.txt").unlink()
    assert "e2e/train.txt" in cli("data", "fetch", "e2e", "--dir", tmp_path / "new", code=3).stderr
    (tmp_path / "empty").mkdir()
    assert "holds none of the original files" in cli("data", "verify", tmp_path / "empty", code=3).stderr
    assert "no such folder" in cli("data", "verify", tmp_path / "none", code=3).stderr


@pytest.fixture
def base_without_weights(gpt2_base: Path, tmp_path: Path) -> Path:
    """Config and tokenizer of a base, and no more."""
    folder = tmp_path / "base"
    folder.mkdir()
    for path in gpt2_base.iterdir():
        if path.suffix == ".json":
            (folder / path.name).symlink_to(path)
    return folder


def overrides(base: Path, data: Path) -> list[str]:
    return ["--set", f"model.base={base}", "--set", f"data.dir={data}"]


def test_rows_as_the_model_sees_them(
    cli: Callable[..., Any], e2e_dir: Path, base_without_weights: Path
) -> None:
    done = cli("data", "show", "e2e_gpt2m", "-n", 2, "--json", *overrides(base_without_weights, e2e_dir))
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    tokenizer = AutoTokenizer.from_pretrained(base_without_weights)
    assert [row["context"] for row in rows] == [CONTEXTS[0]] * 2
    assert rows[0]["completion"] == e2e_sentence(CONTEXTS[0])
    for row in rows:
        ids = row["context_ids"] + row["completion_ids"]
        assert (row["input_ids"], row["target_ids"]) == (ids[:-1], ids[1:])
        counted = [
            token for token, counts in zip(row["target_ids"], row["target_mask"], strict=True) if counts
        ]
        assert tokenizer.decode(counted) == f" {row['completion']}<|endoftext|>"
    assert "train: 28 rows, 14 different prompts\n" in done.stderr
    assert "no training row has more than 128 tokens (the base has no more positions)\n" in done.stderr
    assert "[decode] eos_token_ids: 50256 and 628 are none of the" in done.stderr


def test_rows_that_are_cut(cli: Callable[..., Any], e2e_dir: Path, base_without_weights: Path) -> None:
    cut = ["--set", "data.max_length=20", *overrides(base_without_weights, e2e_dir)]
    done = cli("data", "show", "e2e_gpt2m", "--split", "test", "-n", 1, "--json", *cut)
    row = json.loads(done.stdout)
    assert len(row["input_ids"]) == len(row["target_mask"]) == 19
    assert "test: 6 rows, 3 different prompts\n" in done.stderr
    assert "6 of 6 test rows are cut to 20 tokens; the longest has 29\n" in done.stderr


def test_rows_that_are_not_used_are_said(
    cli: Callable[..., Any], tmp_path: Path, base_without_weights: Path
) -> None:
    (tmp_path / "train.csv").write_text("prompt,completion,topic\na,b,[/x]\nc\n,d,\n")
    keys = [f"model.base={base_without_weights}", f"data.train={tmp_path}/train.csv", "data.on_bad_row=skip"]
    sets = [word for key in [*keys, "task.part=topic"] for word in ("--set", key)]
    done = cli("data", "show", "own_generation", "--unset", "data.valid", *sets)
    assert "row 1, [/x]: " in done.stdout
    assert "train.csv: 2 malformed rows were skipped (lines 3, 4); 1 are left" in " ".join(
        done.stdout.split()
    )


def test_a_dry_run_says_which_rows_are_not_used(
    cli: Callable[..., Any], tmp_path: Path, gpt2_base: Path
) -> None:
    (tmp_path / "train.csv").write_text("prompt,completion\n" + "a,b\n" * 20 + "c\n")
    keys = [f"model.base={gpt2_base}", f"data.train={tmp_path}/train.csv", "data.on_bad_row=skip"]
    sets = [word for key in keys for word in ("--set", key)]
    done = cli("train", "own_generation", "--dry-run", "--unset", "data.valid", *sets, "--json")
    assert json.loads(done.stdout)["notes"] == [
        f"{tmp_path}/train.csv: 1 malformed row was skipped (line 22); 20 are left"
    ]


def test_rows_for_people(cli: Callable[..., Any], e2e_dir: Path, base_without_weights: Path) -> None:
    out = cli(
        "data", "show", "e2e_gpt2m", "--split", "valid", *overrides(base_without_weights, e2e_dir)
    ).stdout
    assert out.count("context     name : ") == 3
    assert " | " in next(line for line in out.splitlines() if line.startswith("  ids"))
    assert out.split("\n tokens", 1)[1].split()[:4] == ["mean", "median", "longest", "context"]


def test_a_folder_of_a_tokenizer_alone_is_enough(cli: Callable[..., Any], e2e_dir: Path) -> None:
    slice_dir = Path(__file__).parents[1] / "assets" / "paper" / "gpt2_slice"
    done = cli("data", "show", "e2e_gpt2m", "-n", 1, "--json", *overrides(slice_dir, e2e_dir))
    row = json.loads(done.stdout)
    assert row["context_ids"][-1] == row["completion_ids"][-1] == 50256


def test_data_that_are_not_there(cli: Callable[..., Any], base_without_weights: Path) -> None:
    error = cli("data", "show", "dart_gpt2m", "--set", f"model.base={base_without_weights}", code=3).stderr
    assert "`lorafit data fetch dart`" in error


def test_the_real_files_are_known(cli: Callable[..., Any], shared: Path) -> None:
    files = json.loads(cli("data", "verify", shared / "data", "--json").stdout)
    assert [f["data"] for f in files if f["split"] == "valid" and f["status"] == "original"] == [
        name for name, preset in PRESETS.items() if preset.original
    ]

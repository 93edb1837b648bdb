"""Where a split is looked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lorafit.data import Split
from lorafit.data.originals import DART_FILES, WEBNLG_FILES, PaperFiles, data_root
from lorafit.data.places import Layout, OwnFiles, row_sources
from lorafit.data.sources import RowSource
from lorafit.errors import DataError, NotFoundError
from lorafit.recipe import DataSection


def sources(data: DataSection, layout: Layout = DART_FILES) -> dict[Split, RowSource]:
    return row_sources(data, layout, lambda row: str(row.fields["text"]))


def split_path(data: DataSection, split: Split, layout: PaperFiles = DART_FILES) -> Path:
    """The one file of a split."""
    [file] = sources(data, layout)[split].open()
    return Path(file.where)


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[]")
    return path


@pytest.mark.parametrize(
    "name",
    [
        "dart-v1.1.1-full-dev.json",
        "valid.json",
        "dev.json",
        "dart/dart-v1.1.1-full-dev.json",
        "dart/dev.json",
    ],
)
def test_a_folder_may_hold_the_original_name_or_a_plain_one(tmp_path: Path, name: str) -> None:
    path = touch(tmp_path / name)
    assert split_path(DataSection(dir=str(tmp_path)), "valid") == path


def test_the_tree_of_the_papers_repository_is_a_folder_of_data(tmp_path: Path) -> None:
    path = touch(tmp_path / "webnlg_challenge_2017" / "dev.json")
    assert split_path(DataSection(dir=str(tmp_path)), "valid", WEBNLG_FILES) == path


def test_a_file_wins_over_the_folder(tmp_path: Path) -> None:
    path = touch(tmp_path / "mine.json")
    touch(tmp_path / "dev.json")
    assert split_path(DataSection(dir=str(tmp_path), valid=str(path)), "valid") == path


def test_without_any_place_the_cache_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data_root() == tmp_path / "lorafit" / "data"
    assert sources(DataSection()).keys() == {"train", "valid", "test"}
    with pytest.raises(NotFoundError, match="`lorafit data fetch dart`"):
        split_path(DataSection(), "train")
    path = touch(data_root() / "dart" / DART_FILES.file("train").name)
    assert split_path(DataSection(), "train") == path
    monkeypatch.setenv("LORAFIT_DATA", str(tmp_path / "elsewhere"))
    assert data_root() == tmp_path / "elsewhere"


def test_a_recipe_that_names_one_file_gets_no_other_from_the_cache(tmp_path: Path) -> None:
    data = DataSection(train=str(touch(tmp_path / "mine")))
    assert list(sources(data)) == ["train"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"dir": "{}"}, r"no dart-v1\.1\.1-full-train\.json there \(data\.dir, train split\)"),
        ({"dir": "{}/none"}, r"none: no such folder \(data\.dir\)"),
        ({"train": "{}/none"}, r"none: no such file \(data\.train\)"),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, data: dict[str, Any], message: str) -> None:
    section = DataSection(**{key: value.format(tmp_path) for key, value in data.items()})
    with pytest.raises(NotFoundError, match=message):
        split_path(section, "train")


def test_a_folder_of_own_files(tmp_path: Path) -> None:
    for name in ("train.csv", "dev.jsonl.gz", "notes.txt"):
        touch(tmp_path / name)
    found = sources(DataSection(dir=str(tmp_path)), OwnFiles())
    assert {split: [file.where for file in source.open()] for split, source in found.items()} == {
        "train": [str(tmp_path / "train.csv")],
        "valid": [str(tmp_path / "dev.jsonl.gz")],
    }
    touch(tmp_path / "validation.csv")
    with pytest.raises(DataError, match=r"validation\.csv and dev\.jsonl\.gz could both be the valid split"):
        sources(DataSection(dir=str(tmp_path)), OwnFiles())


def test_a_folder_of_own_files_needs_one_to_train_on(tmp_path: Path) -> None:
    touch(tmp_path / "test.csv")
    with pytest.raises(NotFoundError, match=r"no file train\.csv or the like"):
        next(sources(DataSection(dir=str(tmp_path)), OwnFiles())["train"].open())
    assert sources(DataSection(), OwnFiles()) == {}


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, 1.5, 1, True, [], ["a", 1]])
def test_a_share_is_between_0_and_1(value: object) -> None:
    with pytest.raises(ValueError, match="must be a file, or a share of the training rows"):
        DataSection.model_validate({"valid": value})


def test_shares_leave_rows_to_train_on() -> None:
    with pytest.raises(ValueError, match="take all rows of the training split"):
        DataSection(valid=0.5, test=0.5)

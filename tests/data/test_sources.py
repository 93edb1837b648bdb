"""Where a split is looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorafit.data import has_split, split_path
from lorafit.data.originals import ORIGINALS, SPLITS, data_root
from lorafit.errors import NotFoundError
from lorafit.recipe import DataSection

DART = ORIGINALS["dart"]


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
    assert split_path(DataSection(dir=str(tmp_path)), "valid", DART) == path


def test_the_tree_of_the_papers_repository_is_a_folder_of_data(tmp_path: Path) -> None:
    path = touch(tmp_path / "webnlg_challenge_2017" / "dev.json")
    assert split_path(DataSection(dir=str(tmp_path)), "valid", ORIGINALS["webnlg"]) == path


def test_a_file_wins_over_the_folder(tmp_path: Path) -> None:
    path = touch(tmp_path / "mine")
    touch(tmp_path / "dev.json")
    assert split_path(DataSection(dir=str(tmp_path), valid=str(path)), "valid", DART) == path


def test_without_any_place_the_cache_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data_root() == tmp_path / "lorafit" / "data"
    assert all(has_split(DataSection(), split) for split in SPLITS)
    with pytest.raises(NotFoundError, match="`lorafit data fetch dart`"):
        split_path(DataSection(), "train", DART)
    path = touch(data_root() / "dart" / DART.file("train").name)
    assert split_path(DataSection(), "train", DART) == path
    monkeypatch.setenv("LORAFIT_DATA", str(tmp_path / "elsewhere"))
    assert data_root() == tmp_path / "elsewhere"


def test_a_recipe_that_names_one_file_gets_no_other_from_the_cache(tmp_path: Path) -> None:
    data = DataSection(train=str(touch(tmp_path / "mine")))
    assert [split for split in SPLITS if has_split(data, split)] == ["train"]
    with pytest.raises(NotFoundError, match=r"set data\.test=FILE"):
        split_path(data, "test", DART)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"dir": "{}"}, r"no dart-v1\.1\.1-full-train\.json there \(data\.dir, train split\)"),
        ({"dir": "{}/none"}, r"none: no such folder \(data\.dir\)"),
        ({"train": "{}/none"}, r"none: no such file \(data\.train\)"),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, data: dict[str, str], message: str) -> None:
    section = DataSection(**{key: value.format(tmp_path) for key, value in data.items()})
    with pytest.raises(NotFoundError, match=message):
        split_path(section, "train", DART)

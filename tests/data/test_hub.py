"""Data sets of the hub: one commit of one configuration, fetched once and read without network."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lorafit.data.hub import HubSet, fetched, hub_splits, pinned
from lorafit.data.rows import RawRow
from lorafit.errors import DataError, NotFoundError, RecipeError
from lorafit.recipe import DataSection
from tests.support.hub import Files, Hub, go_offline, open_hub, use_hub


@pytest.fixture(scope="module")
def server() -> Iterator[Hub]:
    """A hub."""
    with open_hub() as server:
        yield server


@pytest.fixture
def hub(server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """The hub, within reach, and an empty cache."""
    use_hub(server, tmp_path / "cache", monkeypatch)
    return server


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A function that takes the network away."""
    return lambda: go_offline(monkeypatch)


def jsonl(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def reviews(count: int = 4, word: str = "film") -> Files:
    rows = [{"text": f"{word} {i}", "label": ("bad", "good")[i % 2]} for i in range(count)]
    return {"data/train.jsonl": jsonl(*rows), "data/validation.jsonl": jsonl(rows[0])}


def rows_of(data: DataSection, split: str = "train") -> list[RawRow]:
    return [row for file in hub_splits(data)[split].open() for row in file.rows]  # type: ignore[index]


def test_what_was_fetched_is_read_offline_by_its_commit(hub: Hub, offline: Callable[[], None]) -> None:
    first = hub.commit("me/Reviews", reviews())
    asked = DataSection(hub="me/Reviews")
    assert pinned(asked) is None
    known = fetched(asked)
    assert (known.hub_revision, known.hub_config) == (first, "default")
    assert (known.train, known.valid, known.test) == ("train", "validation", None)
    second = hub.commit("me/Reviews", reviews(5, "book"))
    assert pinned(asked) == known
    assert fetched(asked).hub_revision == second
    offline()
    assert rows_of(known)[1] == RawRow(2, {"text": "film 1", "label": "good"})
    assert rows_of(asked)[0].fields["text"] == "book 0"
    assert pinned(known) == known


def test_identity_is_the_commit(hub: Hub) -> None:
    hub.commit("me/ident", reviews())
    before = fetched(DataSection(hub="me/ident"))
    hub.commit("me/ident", reviews(word="book"))
    after = fetched(DataSection(hub="me/ident"))
    identities = [hub_splits(data)["train"].identity() for data in (before, after, before)]
    assert identities[0] == identities[2] != identities[1]
    assert hub_splits(before)["train"].at_hand()


def test_another_commit_in_the_cache_is_never_taken_for_the_one_that_is_meant(
    hub: Hub, offline: Callable[[], None]
) -> None:
    hub.commit("me/moved", reviews())
    fetched(DataSection(hub="me/moved"))
    other = DataSection(hub="me/moved", hub_revision="0" * 40)
    offline()
    assert pinned(other) is None
    with pytest.raises(NotFoundError, match=r"me/moved: not in the Hugging Face cache.*HF_HUB_OFFLINE"):
        fetched(other)
    with pytest.raises(NotFoundError, match=r"not in the Hugging Face cache.*`lorafit fetch RECIPE`"):
        rows_of(other)


def test_splits_by_name(hub: Hub) -> None:
    hub.commit("me/splits", {**reviews(), "data/test.jsonl": jsonl({"text": "x", "label": None})})
    asked = DataSection(hub="me/splits", train=("train", "validation"), valid=0.2)
    known = fetched(asked)
    assert (known.train, known.valid, known.test) == (("train", "validation"), 0.2, "test")
    files = [file.where for file in hub_splits(known)["train"].open()]
    assert files == ["me/splits/default/train", "me/splits/default/validation"]
    with pytest.raises(
        RecipeError, match=r"\[data\] train: me/splits: no split 'trian'; did you mean 'train'"
    ):
        pinned(asked.model_copy(update={"train": "trian"}))


def test_the_usual_name_is_needed_or_another_one_given(hub: Hub) -> None:
    hub.commit("me/odd", {"data/test.jsonl": jsonl({"text": "a"})})
    known = fetched(DataSection(hub="me/odd"))
    with pytest.raises(NotFoundError, match="has no split 'train'"):
        next(hub_splits(known)["train"].open())


def test_a_configuration_is_named_where_there_are_several(hub: Hub) -> None:
    card = """---
configs:
- config_name: small
  data_files: [{split: train, path: small.jsonl}]
- config_name: large
  data_files: [{split: train, path: large.jsonl}]
---
"""
    files = {
        "README.md": card.encode(),
        "small.jsonl": jsonl({"a": 1}),
        "large.jsonl": jsonl({"a": 1}, {"a": 2}),
    }
    hub.commit("me/configs", files)
    with pytest.raises(DataError, match=r"me/configs: .*'small', 'large'.*data\.hub_config"):
        fetched(DataSection(hub="me/configs"))
    sizes = [HubSet("me/configs", name).fetch().splits["train"] for name in ("small", "large")]
    assert sizes == [1, 2]
    with pytest.raises(DataError, match=r"has the configurations large, small.*data\.hub_config"):
        pinned(DataSection(hub="me/configs"))


def test_classes_go_by_their_names(hub: Hub) -> None:
    card = """---
dataset_info:
  features:
  - {name: text, dtype: string}
  - name: label
    dtype: {class_label: {names: {'0': neg, '1': pos}}}
---
"""
    rows = jsonl({"text": "a", "label": 1}, {"text": "b", "label": -1}, {"text": "c", "label": 0})
    hub.commit("me/classes", {"README.md": card.encode(), "train.jsonl": rows})
    known = fetched(DataSection(hub="me/classes"))
    assert [row.fields["label"] for row in rows_of(known)] == ["pos", None, "neg"]


@pytest.mark.parametrize(
    ("name", "revision", "message"),
    [
        (
            "me/none",
            None,
            r"me/none: .*\(there is no such repository, or it is private\); check the name and the network",
        ),
        ("me/there", "v9", r"me/there at v9: .*\(there is no such revision\)"),
        ("a b/c", None, "a b/c: no name of a data set on the hub"),
    ],
)
def test_what_the_hub_does_not_have(hub: Hub, name: str, revision: str | None, message: str) -> None:
    hub.commit("me/there", reviews())
    with pytest.raises(NotFoundError, match=message):
        fetched(DataSection(hub=name, hub_revision=revision))


def test_the_bytes_of_its_files_are_told_as_they_come(hub: Hub) -> None:
    files = reviews(2000)
    hub.commit("me/large", files)
    told: list[tuple[int, int]] = []
    fetched(DataSection(hub="me/large"), lambda num_bytes, total: told.append((num_bytes, total)))
    total = sum(map(len, files.values()))
    assert told[-1] == (total, total)
    assert [num_bytes for num_bytes, _ in told] == sorted(num_bytes for num_bytes, _ in told)
    told.clear()
    fetched(DataSection(hub="me/large"), lambda num_bytes, total: told.append((num_bytes, total)))
    assert told == []

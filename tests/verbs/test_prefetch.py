"""Everything at hand before a node without network needs it; what is missing is listed at once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lorafit.errors import DataError, NotFoundError
from lorafit.models import load_base, load_config
from lorafit.run.events import Downloading, Event, Note, Working
from lorafit.verbs.prefetch import Lock, PrefetchResult, prefetch
from tests.conftest import recipe_overrides
from tests.support.hub import go_offline, open_hub, use_hub


class Node:
    """A base and data of its own, and a lock."""

    def __init__(self, base: Path, data: Path, folder: Path) -> None:
        self.base, self.data, self.lock = folder / "base", folder / "data", folder / "lorafit.lock"
        shutil.copytree(base, self.base)
        shutil.copytree(data, self.data)
        self.notes: list[str] = []

    def fetch(self, *, check: bool = False) -> PrefetchResult:
        """`lorafit fetch e2e_gpt2m`."""
        chosen = [text for text in recipe_overrides(self.base, self.data) if text != "--set"]
        return prefetch(["e2e_gpt2m"], chosen, self.lock, self.note, check=check)

    def note(self, event: Event) -> None:
        """Keep what it says; nothing else is told."""
        if isinstance(event, Working):
            return
        assert isinstance(event, Note)
        self.notes.append(event.text)


@pytest.fixture
def node(gpt2_base: Path, e2e_dir: Path, tmp_path: Path) -> Node:
    """A node."""
    return Node(gpt2_base, e2e_dir, tmp_path)


def test_the_lock_says_what_is_there_and_a_check_agrees(node: Node) -> None:
    written = node.fetch().found
    assert Lock.read(node.lock) == written
    assert {split: entry.rows for split, entry in written.data["e2e"].items()} == {
        "train": 28,
        "valid": 6,
        "test": 6,
    }
    before = node.lock.read_bytes()
    assert node.fetch(check=True).found == written
    assert node.lock.read_bytes() == before


def test_a_base_comes_from_the_hub_and_its_bytes_are_told(
    gpt2_base: Path, e2e_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {path.name: path.read_bytes() for path in gpt2_base.iterdir()}
    events: list[Event] = []
    with open_hub() as hub:
        use_hub(hub, tmp_path, monkeypatch)
        commit = hub.commit("owner/tiny", files | {"onnx/model.onnx": b"other"})
        chosen = [text for text in recipe_overrides("owner/tiny", e2e_dir) if text != "--set"]
        found = prefetch(["e2e_gpt2m"], chosen, tmp_path / "lorafit.lock", events.append, check=False).found
    assert found.bases["owner/tiny"].revision == commit
    told = [event for event in events if isinstance(event, Downloading)]
    total = sum(map(len, files.values()))
    assert {event.name for event in told} == {"owner/tiny"}
    assert told[-1] == Downloading("owner/tiny", total, total)
    assert all(event.num_bytes < (event.total or 0) for event in told[:-1])
    assert [event.num_bytes for event in told] == sorted(event.num_bytes for event in told)
    assert len(told) > 2
    go_offline(monkeypatch)
    model = load_base(load_config("owner/tiny", local_only=True), "owner/tiny", None, "text")
    assert model.notes == model.fresh == ()


def test_all_that_is_missing_is_listed_at_once(node: Node) -> None:
    (node.base / "model.safetensors").unlink()
    (node.base / "tokenizer.json").unlink()
    (node.data / "train.txt").unlink()
    (node.data / "test.txt").unlink()
    with pytest.raises(NotFoundError) as raised:
        node.fetch(check=True)
    text = str(raised.value)
    assert all(word in text for word in ("weights", "tokenizer", "train", "test"))
    assert len(text.splitlines()) == 4
    assert not node.lock.exists()


def test_what_has_changed_is_noticed(node: Node, make_base) -> None:
    node.fetch()
    path = node.data / "valid.txt"
    path.write_text(path.read_text().replace("serves", "sells"))
    other = make_base("gpt2", seed=7)
    shutil.copyfile(other / "model.safetensors", node.base / "model.safetensors")
    with pytest.raises(NotFoundError, match=r"the lock says(.|\n)*valid split.*the lock says"):
        node.fetch(check=True)
    node.fetch()
    assert sum("changed since" in note for note in node.notes) == 2
    node.fetch(check=True)


def test_a_file_that_is_no_lock(node: Node) -> None:
    node.lock.write_text("bases = 3")
    with pytest.raises(DataError, match="not a lock file"):
        node.fetch()


def test_offline_training_lists_all_that_is_missing(lorafit, e2e_dir: Path, tmp_path: Path) -> None:
    shutil.copyfile(e2e_dir / "train.txt", tmp_path / "train.txt")
    chosen = ["--set", f"data.train={tmp_path}/train.txt", "--set", f"data.valid={tmp_path}/no.txt"]
    chosen += ["--set", f"data.test={tmp_path}/none.txt"]
    done = lorafit("train", "e2e_gpt2m", *chosen, "--output", tmp_path / "run", code=3)
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert [
        word in line for word, line in zip(("no.txt", "none.txt", "gpt2-medium"), lines, strict=True)
    ] == [True] * 3
    assert not (tmp_path / "run").exists()

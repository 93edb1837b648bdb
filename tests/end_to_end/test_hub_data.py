"""A data set of the hub through the command line: fetched, planned, trained on, resumed, scored; with a hub on this
machine, and without one."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.hub import Hub, go_offline, open_hub, use_hub
from tests.support.tiny_encoders import save_encoder, sentences

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def server() -> Iterator[Hub]:
    with open_hub() as server:
        yield server


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("base"), "roberta")


class Shop:
    """A data set on the hub, a recipe for it, and the network, which may be taken away."""

    def __init__(
        self, hub: Hub, name: str, recipe: Path, base: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.hub, self.name, self.recipe, self.monkeypatch = hub, name, recipe, monkeypatch
        self.first = self.commit()
        recipe.write_text(f"""
model.base = "{base}"
method = {{ name = "lora", r = 2, targets = "all-linear" }}
task = {{ name = "classification", text = "text", label = "mood" }}
data = {{ hub = "{name}", max_length = 32 }}
train = {{ max_steps = 3, batch_tokens = 128, learning_rate = 1e-3, log_every = 1 }}
""")

    def commit(self, count: int = 40) -> str:
        """New rows; returns the commit."""
        rows = [
            {"text": f"{text} {i}", "mood": ("bad", "good")[k]}
            for i, (text, k) in enumerate(sentences(count))
        ]
        lines = [json.dumps(row).encode() + b"\n" for row in rows]
        return self.hub.commit(
            self.name, {"data/train.jsonl": b"".join(lines[8:]), "data/validation.jsonl": b"".join(lines[:8])}
        )

    def offline(self, *, offline: bool = True) -> None:
        """Take the network away, or give it back."""
        go_offline(self.monkeypatch, offline=offline)


@pytest.fixture
def shop(server: Hub, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    use_hub(server, tmp_path / "cache", monkeypatch)
    monkeypatch.chdir(tmp_path)
    return Shop(server, f"shop/{tmp_path.name}", tmp_path / "mine.toml", encoder, monkeypatch)


def data_of(run: Path) -> dict[str, Any]:
    return dict(tomllib.loads((run / "recipe.toml").read_text())["data"])


def test_a_run_keeps_the_commit_that_it_began_with(cli: Run, shop: Shop, tmp_path: Path) -> None:
    run = tmp_path / "run"
    cli("train", shop.recipe, "--output", run)
    kept = data_of(run)
    assert (kept["hub_revision"], kept["hub_config"]) == (shop.first, "default")
    assert (kept["train"], kept["valid"]) == ("train", "validation")
    card = json.loads((run / "adapter" / "adapter.json").read_text())
    assert card["data"]["hub_revision"] == shop.first
    second = shop.commit(48)
    cli("fetch", shop.recipe, "--lock", tmp_path / "lock")
    shop.offline()
    assert "finished already" in cli("train", shop.recipe, "--output", run).stdout
    longer = cli("train", shop.recipe, "--output", run, "--extend", "max_steps=5").stdout
    assert "extended from 3 to 5 steps" in longer
    assert data_of(run)["hub_revision"] == shop.first
    assert f'hub_revision = "{second}"' in cli("train", shop.recipe, "--dry-run").stdout


def test_an_adapter_is_scored_on_the_rows_of_its_commit(cli: Run, shop: Shop, tmp_path: Path) -> None:
    run = tmp_path / "run"
    trained = json.loads(cli("train", shop.recipe, "--output", run, "--json").stdout)
    shop.commit(48)
    cli("fetch", shop.recipe)
    scored = json.loads(cli("eval", run / "adapter", "--split", "valid", "--json").stdout)
    assert scored["scores"] == trained["scores"]
    new = tmp_path / "new.csv"
    new.write_text("text,mood\na film,good\n")
    cli("eval", run / "adapter", "--split", "test", "--data", new)


def test_offline_is_said_before_and_after_it_was_fetched(cli: Run, shop: Shop, tmp_path: Path) -> None:
    shop.offline()
    told = cli("train", shop.recipe, "--dry-run", code=3).stderr
    assert (
        f"error: {shop.name}: not in the Hugging Face cache (data.hub); run `lorafit fetch RECIPE`"
        in " ".join(told.split())
    )
    assert "HF_HUB_OFFLINE is set" in cli("data", "show", shop.recipe, code=3).stderr
    assert "HF_HUB_OFFLINE is set" in cli("train", shop.recipe, code=3).stderr
    assert shop.name in cli("fetch", shop.recipe, "--check", code=3).stderr
    assert not (tmp_path / "runs").exists()
    shop.offline(offline=False)
    cli("fetch", shop.recipe)
    lock = tomllib.loads((tmp_path / "lorafit.lock").read_text())
    assert lock["hub"] == {shop.name: shop.first}
    assert {split: entry["rows"] for split, entry in lock["data"]["mine"].items()} == {
        "train": 32,
        "valid": 8,
    }
    shop.offline()
    cli("fetch", shop.recipe, "--check")
    planned = cli("train", shop.recipe, "--dry-run").stdout
    assert "training rows: 32 (in the training data)" in planned
    assert f'hub_revision = "{shop.first}"' in planned
    assert "train: 32 rows" in cli("data", "show", shop.recipe, "-n", "1").stdout
    shop.offline(offline=False)
    shop.commit(44)
    cli("fetch", shop.recipe, "--check")
    assert "changed since" in cli("fetch", shop.recipe).stdout


def test_a_dry_run_asks_the_hub_for_nothing(cli: Run, shop: Shop) -> None:
    before = len(shop.hub.requests)
    cli("train", shop.recipe, "--dry-run", code=3)
    assert len(shop.hub.requests) == before


def test_another_revision_is_another_run(cli: Run, shop: Shop, tmp_path: Path) -> None:
    run = tmp_path / "run"
    cli("train", shop.recipe, "--output", run)
    second = shop.commit(48)
    other = cli("train", shop.recipe, "--output", run, "--set", f"data.hub_revision={second}", code=2).stderr
    assert "data.hub_revision" in other


def test_init_looks_at_a_data_set_of_the_hub(cli: Run, shop: Shop, encoder: Path, tmp_path: Path) -> None:
    assert "no such file or folder" in cli("init", "nowhere/rows.csv", code=3).stderr
    told = cli("init", shop.name, "--base", encoder, "-o", tmp_path / "new.toml").stdout
    assert "its splits train and validation" in told
    written = tomllib.loads((tmp_path / "new.toml").read_text())
    assert written["data"]["hub_revision"] == shop.first
    assert written["task"]["label"] == "mood"
    assert written["method"]["targets"] == "all-linear"
    shop.offline()
    assert "training rows: 32" in cli("train", tmp_path / "new.toml", "--dry-run").stdout


def test_base_and_rows_come_once_and_their_bytes_are_told(
    cli: Run, shop: Shop, encoder: Path, tmp_path: Path
) -> None:
    base = f"{shop.name}-base"
    shop.hub.commit(base, {path.name: path.read_bytes() for path in encoder.iterdir()})
    of_base = ("--set", f"model.base={base}")
    refused = cli("train", shop.recipe, *of_base, "--set", "method.targets=nowhere", code=2)
    assert refused.stdout.startswith(f"downloaded {shop.name} (")
    assert not any("safetensors" in each for each in gets(shop.hub, base)), (
        "fetched before the plan was right"
    )
    told = cli("train", shop.recipe, *of_base, "--output", tmp_path / "run").stdout
    assert f"downloaded {base} (" in told
    assert told.count("downloaded") == 1
    for name in (base, shop.name):
        assert sorted(gets(shop.hub, name)) == sorted({*gets(shop.hub, name)}), "a file that came twice"
    shop.commit(44)
    quiet = cli(
        "train", shop.recipe, "--set", "data.hub_revision=main", "--quiet", "--output", tmp_path / "b"
    )
    assert "downloaded" not in quiet.stdout + quiet.stderr


def gets(hub: Hub, name: str) -> list[str]:
    """The files of a model or a data set that were fetched."""
    return [each for each in hub.requests if each.startswith("GET ") and f"/{name}/resolve/" in each]

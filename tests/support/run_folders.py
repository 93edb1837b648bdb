"""Run folders as training leaves them, without the training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lorafit.recipe import recipe_hash, to_toml
from lorafit.run.recipes import open_recipe


def write_run(
    runs: Path,
    name: str,
    seed: int,
    scores: dict[str, Any] | None,
    *overrides: str,
    folder: str = "",
    loss: float = 1.5,
) -> Path:
    """Write <runs>/<recipe>/seed-<n> of a shipped recipe; without scores the run is unfinished."""
    recipe = open_recipe(name, [f"train.seed={seed}", *overrides])
    run = runs / (folder or name) / f"seed-{seed}"
    (run / "adapter").mkdir(parents=True)
    (run / "recipe.toml").write_text(to_toml(recipe))
    events = [
        {"event": "validation", "epoch": 1, "loss": loss, "best": True},
        {"event": "validation", "epoch": 2, "loss": loss + 1, "best": False},
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    card = {
        "provenance": {"recipe_hash": recipe_hash(recipe), "step": 7},
        "files": {"adapter.safetensors": {"sha256": f"{seed}" * 64, "num_bytes": 1}},
    }
    (run / "adapter" / "adapter.json").write_text(json.dumps(card))
    if scores is not None:
        (run / "scores.json").write_text(json.dumps({"scores": scores, "signatures": {}}))
    return run


def e2e_scores(bleu: float) -> dict[str, float | None]:
    """Scores of E2E as scores.json holds them; METEOR could not be computed."""
    return {"bleu": bleu, "nist": 8.855, "meteor": None, "rouge_l": 0.7175, "cider": 2.50}

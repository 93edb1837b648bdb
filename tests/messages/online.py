"""What lies on the hub of this machine, and what it refuses, while the mistakes with the hub are made."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.hub import Files, Hub, Refusal

_ROWS = b'{"review": "good", "stars": "5"}\n{"review": "bad", "stars": "1"}\n'
_SETS: dict[str, Files] = {
    "owner/rows": {"data/train.jsonl": _ROWS},
    "owner/only-test": {"data/test.jsonl": _ROWS},
    "owner/torn-rows": {"data/train.jsonl": b'{"review'},
    "owner/two-valid": {
        "README.md": b"---\nconfigs:\n- config_name: default\n  data_files:\n"
        + b"".join(
            b"  - split: %s\n    path: rows.jsonl\n" % split for split in (b"train", b"validation", b"dev")
        )
        + b"---\n",
        "rows.jsonl": _ROWS,
    },
}
_REFUSALS = {
    "gated": Refusal(403, "GatedRepo"),
    "busy": Refusal(429),
    "down": Refusal(503),
    "strange": Refusal(599),
    "locked": Refusal(401),
}


def stock(hub: Hub, base: Path) -> None:
    """Models made of a base, data sets, and both in every way in which the hub refuses them."""
    files = {path.name: path.read_bytes() for path in base.iterdir()}
    config = json.loads(files["config.json"])
    unknown = {**config, "model_type": "zork"}
    custom = {**unknown, "auto_map": {"AutoConfig": "zork.Config"}}
    for name, changed in {
        "whole": {},
        "custom": {"config.json": json.dumps(custom).encode()},
        "unknown": {"config.json": json.dumps(unknown).encode()},
        "torn": {"config.json": b'{"model_type'},
        "torn-weights": {"model.safetensors": b"torn"},
    }.items():
        hub.commit(f"owner/{name}", files | changed)
    hub.commit("owner/no-config", {n: data for n, data in files.items() if n != "config.json"})
    hub.commit("owner/no-weights", {n: data for n, data in files.items() if n != "model.safetensors"})
    for name, of_set in _SETS.items():
        hub.commit(name, of_set)
    for name, refusal in _REFUSALS.items():
        hub.commit(f"owner/{name}", files)
        hub.refusals[f"owner/{name}"] = refusal
    hub.refusals["/repos/create"] = Refusal(403)

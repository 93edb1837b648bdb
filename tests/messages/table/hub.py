"""Models and data sets of the hub that it does not have, does not give, or gives as they are: damaged, or another's."""

from __future__ import annotations

from tests.messages.mistakes import Mistake, Table, sealed

OF_SET = "train reviews.toml --unset data.train --output out --set data.hub="
OF_BASE = "train answers.toml --output out --set model.base="
MAIN = " --set model.revision=main"
CHECK = "check the name and the network, or run `lorafit fetch RECIPE` (fills the cache, where there is a network)"
FETCH = "fetch answers.toml --set model.base="
LOG_IN = "check the id and the network, or run `hf auth login` (where it is private or gated)"
FOLDER = "use --set model.base=FOLDER (a folder on this machine)"


def online(typed: str, read: str) -> Mistake:
    """A mistake with the hub within reach."""
    return Mistake(typed, read, online=True)


MISTAKES: Table = {
    "data/hub.py": (
        *(
            online(
                f"{OF_SET}owner/{name}",
                f"owner/{at}: not in the Hugging Face cache, and the hub gave none ({why}); {CHECK}",
            )
            for name, at, why in (
                ("none", "none", "there is no such repository, or it is private"),
                ("gated", "gated", "it is for those whom its owner has given access"),
                ("busy", "busy", "HTTP 429 Too Many Requests"),
                ("strange", "strange", "HTTP 599"),
                ("rows --set data.hub_revision=v9", "rows at v9", "there is no such revision"),
            )
        ),
        online(
            f"{OF_SET}owner/only-test",
            "owner/only-test: has no split 'train'; use --set data.train=… (to a split that it has)",
        ),
        online(
            f"{OF_SET}owner/two-valid",
            "owner/two-valid: validation and dev could both be the valid split; use --set data.valid=… (to one of "
            "them)",
        ),
        online(
            f"{OF_SET}owner/rows --set data.hub_config=small",
            "owner/rows: as a data set of the hub: BuilderConfig 'small' not found. Available: ['default']; use --set "
            "data.hub_config=… (to one that there is)",
        ),
        online(f"{OF_SET}owner/torn-rows", "owner/torn-rows: its rows cannot be read: …"),
    ),
    "data/given.py": (
        online("init owner/only-test", "owner/only-test: has no split 'train'; there are test"),
        online("init owner/none", "owner/none: no such file or folder; as a data set of the hub: …"),
    ),
    "interop/hub.py": (
        Mistake(
            "export adapter out --push-to-hub owner/whole",
            "owner/whole: the hub refuses: HTTP 403 Forbidden; the export itself is done: out; run `hf auth login`",
            leaves=("out",),
            online=True,
        ),
    ),
    "models/files/fetch.py": tuple(
        online(f"{typed}owner/{name}", f"owner/{at}: cannot be fetched from the hub: {why}; {LOG_IN}")
        for typed, name, at, why in (
            (OF_BASE, "none", "none", "there is no such repository, or it is private"),
            (OF_BASE, "gated", "gated", "it is for those whom its owner has given access"),
            (OF_BASE, "locked", "locked", "HTTP 401 Unauthorized"),
            (OF_BASE, "down", "down", "HTTP 503 Service Unavailable"),
            (OF_BASE, "whole --set model.revision=v9", "whole@v9", "there is no such revision"),
            (
                "fetch answers.toml --set model.base=",
                "gated",
                "gated",
                "it is for those whom its owner has given access",
            ),
        )
    ),
    "models/files/folder.py": (
        online(
            f"{OF_BASE}owner/no-config",
            "owner/no-config: no config.json there; a base is a Hugging Face model folder or a hub id",
        ),
        *(
            Mistake(
                "predict adapter hi",
                f"owner/{at}: base model not in the Hugging Face cache, and the hub gave none ({why}); check the id "
                "and the network, or use …",
                {"adapter/adapter.json": sealed(base__id=f"owner/{name}", base__revision=revision)},
                online=True,
            )
            for name, revision, at, why in (
                ("gated", None, "gated", "it is for those whom its owner has given access"),
                ("whole", "v9", "whole@v9", "there is no such revision"),
            )
        ),
        online(f"{OF_BASE}owner/torn", "owner/torn: its base model cannot be read: …"),
        online(f"{OF_BASE}owner/unknown{MAIN}", "owner/unknown@main: its base model cannot be read: …"),
        online(
            f"{OF_BASE}owner/custom{MAIN}",
            "owner/custom@main: its base model contains custom code, which lorafit does not run; take a base of one of "
            "transformers' own architectures",
        ),
        online(f"{OF_BASE}owner/torn-weights", "owner/torn-weights: its weights cannot be read: …"),
        online(f"{OF_BASE}shape", "shape: its weights cannot be read: …"),
        online(f"{OF_BASE}owner/no-weights", "owner/no-weights: its weights cannot be read: …"),
        *(
            online(
                f"{OF_BASE}owner/whole{more} --dry-run",
                f"owner/whole{at}: base model not in the Hugging Face cache; run `lorafit fetch RECIPE` (needs the "
                f"network), or {FOLDER}",
            )
            for more, at in (("", ""), (MAIN, "@main"))
        ),
    ),
}

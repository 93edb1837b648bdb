"""What is handed out: one version everywhere, and a wheel with everything that the program reads."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from lorafit.version import __version__
from tests.conftest import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_version_is_one() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+)", changes, re.MULTILINE)
    assert newest is not None
    assert {PYPROJECT["project"]["version"], citation["version"], newest[1]} == {__version__}


def test_every_extra_is_pinned() -> None:
    """What `make test` and `make dist` install has one version on all machines."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {normal(line.partition("==")[0]) for line in lines if "==" in line}
    project = PYPROJECT["project"]
    extras = {name: wanted for name, wanted in project["optional-dependencies"].items() if name != "plots"}
    wanted = [*project["dependencies"], *(name for names in extras.values() for name in names)]
    names = {normal(re.split(r"[<>=!~\[ ]", name)[0]) for name in wanted}
    assert names - pinned == set()


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("path", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda path: path.stem)
def test_issue_templates_name_commands_that_exist(path: Path) -> None:
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= form.keys()
    identifiers = [part["id"] for part in form["body"]]
    assert len(set(identifiers)) == len(identifiers)


def test_the_wheel_has_what_the_program_reads(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*pip, "--wheel-dir", str(tmp_path), str(ROOT)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    ours = [
        path for path in (ROOT / "lorafit").rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    recipes = [path for path in (ROOT / "recipes").rglob("*") if path.suffix in (".toml", ".json")]
    wanted = {path.relative_to(ROOT).as_posix() for path in ours}
    wanted |= {f"lorafit/{path.relative_to(ROOT).as_posix()}" for path in recipes}
    assert wanted - names == set()
    assert {name.split("/")[0] for name in names} == {"lorafit", f"lorafit-{__version__}.dist-info"}

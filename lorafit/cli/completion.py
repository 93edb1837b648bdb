"""What a shell completes: recipes, adapters and runs. Where none of them begins so, the shell offers its own files."""

from __future__ import annotations

from pathlib import Path

from lorafit.recipe.library import shipped_recipes
from lorafit.run.files.paths import RunPaths, run_folders


def complete_recipe(incomplete: str) -> list[str]:
    """Shipped recipes by name, and recipe files that lie here."""
    files = [str(path) for path in sorted(Path().glob("*.toml"))]
    return _beginning([*shipped_recipes(), *files], incomplete)


def complete_run(incomplete: str) -> list[str]:
    """Run folders below runs/."""
    return _beginning([str(path) for path in _runs()], incomplete)


def complete_adapter(incomplete: str) -> list[str]:
    """Adapters of the runs below runs/: of the best epoch and of the last."""
    folders = [folder for run in _runs() for folder in (RunPaths(run).adapter, RunPaths(run).last_adapter)]
    return _beginning([str(folder) for folder in folders if folder.is_dir()], incomplete)


def complete_any(incomplete: str) -> list[str]:
    """Runs, adapters and recipes."""
    return [*complete_run(incomplete), *complete_adapter(incomplete), *complete_recipe(incomplete)]


def _runs() -> list[Path]:
    return sorted(run_folders(Path("runs")))


def _beginning(names: list[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]

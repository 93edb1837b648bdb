"""llama.cpp, whose limits are those of its format."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from lorafit.interop.programs.base import Program

if TYPE_CHECKING:
    from lorafit.adapters import Adapter
    from lorafit.models import Model


class LlamaCpp(Program):
    """Adapters beside a base as its own converter makes it; quantised bases, too."""

    name: ClassVar[str] = "llama.cpp"
    help: ClassVar[str] = "a server, on CPUs too"
    format: ClassVar[str] = "gguf"

    @override
    def command(self, adapter: Adapter, shape: Model, folder: Path) -> str:
        """The base is converted first, out of its folder or off the hub."""
        del shape
        base = adapter.card.base.elsewhere
        remote = [] if Path(base).is_absolute() else ["--remote"]
        convert = ["python", "convert_hf_to_gguf.py", base, *remote, "--outfile", "base.gguf"]
        serve = ["llama-server", "-m", "base.gguf", "--lora", str(folder / "adapter.gguf")]
        return f"{shlex.join(convert)} && {shlex.join(serve)}"

"""What a newcomer gets wrong: what he types, what is in his files, and the line that he reads."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Content = str | bytes | Callable[[bytes], bytes] | None
"""What a file holds, or what becomes of what it held; None for a file that is gone."""


@dataclass(frozen=True)
class Mistake:
    """`typed` follows `lorafit` and may begin with variables (NAME=value); behind ">>> " it is Python.

    `read` is all that stands on the screen behind "error: ", a line for each fault; … stands for anything. `files`
    replaces or adds files of the workplace. `leaves` is what may have been made before it came to that. `online`: the
    hub of this machine is within reach (online.py), and the cache is empty.
    """

    typed: str
    read: str
    files: Mapping[str, Content] = field(default_factory=dict)
    leaves: tuple[str, ...] = ()
    online: bool = False


Table = Mapping[str, tuple[Mistake, ...]]
"""Module of the message, below lorafit/ -> mistakes that end in its messages."""


def edited(**values: Any) -> Callable[[bytes], bytes]:
    """A JSON file with other values: method__r=3 is the key `r` of `method`; … takes a key away."""

    def change(content: bytes) -> bytes:
        document = json.loads(content)
        for name, value in values.items():
            *path, key = name.split("__")
            inner = document
            for each in path:
                inner = inner[each]
            if value is ...:
                del inner[key]
            else:
                inner[key] = value
        return json.dumps(document).encode()

    return change


def sealed(**values: Any) -> Callable[[bytes], bytes]:
    """adapter.json with other values, and a seal that fits them."""
    from lorafit.adapters.seal import document_seal

    def change(content: bytes) -> bytes:
        document = json.loads(edited(**values)(content))
        return json.dumps(document | {"seal": document_seal(document)}).encode()

    return change


def saved(document: object) -> bytes:
    """As torch.save writes it."""
    import torch

    stream = io.BytesIO()
    torch.save(document, stream)
    return stream.getvalue()


def half(content: bytes) -> bytes:
    """The first half of a file, as a copy that was broken off leaves it."""
    return content[: len(content) // 2]


def place(files: Mapping[str, Content], folder: Path) -> None:
    """Put files into a folder. What lies behind a link is copied first."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content = content(path.read_bytes() if path.exists() else b"")
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content.encode() if isinstance(content, str) else content)

"""Templates -> a page that asks for no other file. Everything that is put into it is escaped."""

from __future__ import annotations

import base64
import hashlib
from functools import cache

import jinja2
from markupsafe import Markup

from lorafit.files import local_path
from lorafit.format import duration, number, short, signed, size

_FOLDER = local_path("lorafit:page")


def render(template: str, **values: object) -> str:
    """The page of a template. Raises UndefinedError where a value is missing."""
    script = (_FOLDER / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        _environment()
        .get_template(template)
        .render(
            styles=Markup((_FOLDER / "page.css").read_text(encoding="utf-8")),
            script=Markup(script),
            script_hash=digest,
            **values,
        )
    )


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "short": short,
        "size": size,
        "duration": duration,
        "signed": signed,
    }
    return environment

"""The chat templates that lorafit has, for bases whose tokenizer has none. To add one: a file, and TEMPLATES."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

TEMPLATES: dict[str, tuple[str, ...]] = {
    "chatml": ("<|im_start|>", "<|im_end|>"),  # Qwen and many others
    "llama3": ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    "gemma": ("<start_of_turn>", "<end_of_turn>"),  # a system message stands in the first turn of the user
    "zephyr": (),  # <|user|> and the like are words there, and each turn has the end-of-text token
    "plain": (),  # User: … Assistant: …, the assistant's turns with the end-of-text token
}
"""Name -> the tokens that must be in the tokenizer, each by itself."""

_TOKEN = re.compile(r"<\|\w+\|>")  # what a template of one's own may spell of such tokens


def is_template(text: str) -> bool:
    """Whether a text is a template itself and no name or path of one."""
    return "{%" in text or "{{" in text


def template_tokens(template: str) -> tuple[str, ...]:
    """The tokens that a name of TEMPLATES, or a template itself, needs by themselves."""
    return TEMPLATES[template] if template in TEMPLATES else tuple(dict.fromkeys(_TOKEN.findall(template)))


def template_text(name: str) -> str:
    """The jinja source of a name of TEMPLATES; a template is its own."""
    if is_template(name):
        return name
    file = Path(str(resources.files("lorafit"))) / "assets" / "templates" / f"{name}.jinja"
    return file.read_text(encoding="utf-8")

"""The chat templates that lorafit has, for bases whose tokenizer has none. To add one: a file, and TEMPLATES."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

TEMPLATES: dict[str, str] = {
    "chatml": "as Qwen and many others have it: <|im_start|>user … <|im_end|>",
    "llama3": "as Llama 3 has it: <|start_header_id|>user<|end_header_id|> … <|eot_id|>",
    "gemma": "as Gemma has it, a system message in front of the first turn: <start_of_turn>user … <end_of_turn>",
    "zephyr": "as Zephyr has it: <|user|> …, each turn with the end-of-text token",
    "plain": "words alone: User: … Assistant: …, the assistant's turns with the end-of-text token",
}
"""Name -> what it looks like."""


def is_template(text: str) -> bool:
    """Whether a text is a template itself and no name or path of one."""
    return "{%" in text or "{{" in text


def template_text(name: str) -> str:
    """The jinja source of a name of TEMPLATES; a template is its own."""
    if is_template(name):
        return name
    file = Path(str(resources.files("lorafit"))) / "assets" / "templates" / f"{name}.jinja"
    return file.read_text(encoding="utf-8")

"""What a merged model needs to hold conversations: tokens, template, and what ends a turn."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from lorafit.adapters.restore import task_of
from lorafit.files import JsonObject
from lorafit.interop.models.source import MergeSource

_TEMPLATE = "chat_template.jinja"  # which transformers reads before tokenizer_config.json


def write_chat_files(source: MergeSource, folder: Path) -> None:
    """Into a folder with the files of the base and the merged config.json."""
    task = task_of(source.adapter)
    if task.kind != "chat":
        return
    from lorafit.data.encoding.chat_encode import ChatFormat
    from lorafit.models import add_tokens, load_tokenizer, planned_tokens
    from lorafit.models.families import token_ids

    tokenizer = load_tokenizer(str(source.folder))
    added = planned_tokens(source.config)
    if added is not None:
        add_tokens(tokenizer, added.tokens)
        tokenizer.save_pretrained(folder)
    form = ChatFormat(tokenizer, task.chat_template)
    if task.chat_template is not None:
        (folder / _TEMPLATE).write_text(form.portable(), encoding="utf-8")
    ends = (
        *form.end_ids,
        *token_ids(tokenizer.eos_token_id),
        *(source.adapter.card.decode.eos_token_ids or ()),
    )
    _write_ends(folder, ends)


def _write_ends(folder: Path, ids: Sequence[int]) -> None:
    """Let transformers' generate stop at these tokens, and at those where it stopped before."""
    path = folder / "generation_config.json"
    known = path if path.is_file() else folder / "config.json"
    settings: JsonObject = json.loads(known.read_text(encoding="utf-8"))
    ends = settings.get("eos_token_id")
    ends = ends if isinstance(ends, list) else [] if ends is None else [ends]
    if set(ids) <= {*ends}:
        return
    settings = settings if path.is_file() else {}
    settings["eos_token_id"] = list(dict.fromkeys((*ends, *ids)))
    path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")

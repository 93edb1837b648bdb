"""The README.md in every adapter folder: what it is, how good it is, how to load it."""

from __future__ import annotations

from torch import Tensor

from lorafit.adapters.card import AdapterCard


def model_card(card: AdapterCard, tensors: dict[str, Tensor]) -> str:
    """Markdown with the front matter that the Hugging Face hub reads."""
    made = card.provenance
    num_values = sum(tensor.numel() for tensor in tensors.values())
    options = ", ".join(f"{k} = {_shown(v)}" for k, v in card.method.items() if k != "name" and v is not None)
    scores = "\n".join(f"| {name} | {_shown(value)} |" for name, value in card.scores.items())
    revision = f" at revision `{card.base.revision}`" if card.base.revision else ""
    return f"""---
library_name: lorafit
base_model: {card.base.id}
tags:
- {card.method["name"]}
- lorafit
---

# {card.method["name"]} adapter of {card.base.id} for {card.task.name}

| | |
|---|---|
| base | `{card.base.id}`{revision} |
| method | {card.method["name"]} ({options}) |
| task | {card.task.name} |
| trained values | {num_values:,} |
| recipe | {made.recipe or "none"}, seed {made.seed}, step {made.step} |
| made with | lorafit {made.lorafit}, torch {made.torch}, transformers {made.transformers} |

{"| score | value |" if scores else ""}
{"|---|---|" if scores else ""}
{scores}

## Use it

```sh
lorafit eval THIS_FOLDER
lorafit merge THIS_FOLDER MODEL_FOLDER          # a plain Hugging Face model
lorafit export THIS_FOLDER OUT --format peft    # for peft.PeftModel.from_pretrained(base, "OUT")
```
"""


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)

"""LoRA layers and what goes with them: `import lorafit.lora as lora` does what `import loralib as lora` did.

layer = lora.Linear(in_features, out_features, r=16)             # or Embedding, MergedLinear, Conv1d/2d/3d
layer = lora.Linear.from_base(pretrained_layer, r=16)            # around existing weights
lora.attach(model, [lora.Site(name) for name in lora.find(model, ["q_proj", "v_proj"])], r=8, alpha=16)
lora.mark_only_lora_as_trainable(model)
lora.draw_from(model, lora.Draws(seed))                          # dropout from generators of its own
torch.save(lora.lora_state_dict(model), path)                    # load with strict=False
with lora.merged(model): ...                                     # at the base model's speed
"""

from lorafit.lora.conv import Conv1d, Conv2d, Conv3d, ConvLoRA
from lorafit.lora.dora import DoRALinear
from lorafit.lora.draws import Draws, draw_from
from lorafit.lora.dropout import Dropout, DropoutSource
from lorafit.lora.embedding import Embedding
from lorafit.lora.inits import INITS
from lorafit.lora.layer import (
    LoRALayer,
    adapted_layers,
    adapter_parameters,
    filled_layers,
    lora_layers,
    merge,
    merged,
    scaled,
    unmerge,
)
from lorafit.lora.linear import Linear, MergedLinear, lies_transposed
from lorafit.lora.members import MemberDraws, Members
from lorafit.lora.scalings import SCALINGS
from lorafit.lora.starts import STARTS
from lorafit.lora.state import factors, lora_state_dict, mark_only_lora_as_trainable, require_input_grad
from lorafit.lora.surgery import Site, adaptable, attach, detach, find, matches, replace, untie
from lorafit.lora.with_start import LayerWithStart, layers_with_start

__all__ = [
    "INITS",
    "SCALINGS",
    "STARTS",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvLoRA",
    "DoRALinear",
    "Draws",
    "Dropout",
    "DropoutSource",
    "Embedding",
    "LayerWithStart",
    "Linear",
    "LoRALayer",
    "MemberDraws",
    "Members",
    "MergedLinear",
    "Site",
    "adaptable",
    "adapted_layers",
    "adapter_parameters",
    "attach",
    "detach",
    "draw_from",
    "factors",
    "filled_layers",
    "find",
    "layers_with_start",
    "lies_transposed",
    "lora_layers",
    "lora_state_dict",
    "mark_only_lora_as_trainable",
    "matches",
    "merge",
    "merged",
    "replace",
    "require_input_grad",
    "scaled",
    "unmerge",
    "untie",
]

"""FSDP2 for bases that do not fit into one GPU: every process holds a shard of each block's frozen weights.

What is trained stays whole on every process, as without sharding: it is small, and optimizer, checkpoints and adapters
need not know.
"""

from __future__ import annotations

import torch
from torch import nn
from transformers import PreTrainedModel

from lorafit.errors import RecipeError, SetKey


def check_shardable(net: PreTrainedModel) -> None:
    """Raises RecipeError where nothing is frozen that could be sharded."""
    if not any(True for block in _blocks(net) for p in block.parameters() if not p.requires_grad):
        raise RecipeError(
            "[train] parallel: 'fsdp' shards the frozen weights of blocks; this method and base have none",
            SetKey("train.parallel", "ddp"),
        )


def shard_frozen(net: PreTrainedModel, num_processes: int, device: torch.device) -> None:
    """Shard the frozen parameters of every block over the processes, which must run in lockstep from now on.

    The embeddings and the head stay whole, since the loss reads the head's weight itself.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard  # slow to import, and seldom needed

    mesh = init_device_mesh(device.type, (num_processes,))
    trained = {p for p in net.parameters() if p.requires_grad}
    blocks = _blocks(net)
    for block in blocks:
        fully_shard(block, mesh=mesh, ignored_params=trained)
    for block in blocks:
        assert isinstance(block, FSDPModule)
        block.unshard()  # its buffers are made here: made in inference mode, they could not be trained through
        block.reshard()


def _blocks(net: PreTrainedModel) -> list[nn.Module]:
    names = set(net._no_split_modules or ())
    return [module for module in net.modules() if type(module).__name__ in names]

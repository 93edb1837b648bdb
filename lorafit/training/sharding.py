"""FSDP2 for bases that do not fit into one GPU: every process holds a shard of each block's frozen weights.

What is trained stays whole on every process, as without sharding: it is small, and optimizer, checkpoints and adapters
need not know.
"""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from lorafit.errors import RecipeError
from lorafit.training.world import World


def shard_frozen(net: PreTrainedModel, world: World, device: torch.device) -> None:
    """Shard the frozen parameters of every block over the processes, which run in step from now on.

    The embeddings and the head stay whole, since the loss reads the head's weight itself.
    Raises RecipeError where nothing is frozen that could be sharded.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard  # slow to import, and seldom needed

    blocks = [m for m in net.modules() if type(m).__name__ in set(net._no_split_modules or ())]
    trained = {p for p in net.parameters() if p.requires_grad}
    frozen = [p for block in blocks for p in block.parameters() if p not in trained]
    if not frozen:
        raise RecipeError(
            "[train] parallel: 'fsdp' shards the frozen weights of blocks, and this method (or architecture) has none; "
            "use 'ddp'"
        )
    mesh = init_device_mesh(device.type, (world.size,))
    for block in blocks:
        fully_shard(block, mesh=mesh, ignored_params=trained)
    for block in blocks:
        assert isinstance(block, FSDPModule)
        block.unshard()  # its buffers are made here: made in inference mode, they could not be trained through
        block.reshard()
    world.in_step = True

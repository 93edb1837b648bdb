"""Loss, optimizer, schedule, the loop and its checkpoints."""

from lorafit.training.distributed import open_world
from lorafit.training.health import Movement, all_finite
from lorafit.training.loop import Batch, EpochEnded, MemoryRanOut, Position, Stepped, Steps, fit
from lorafit.training.loss import cross_entropy_sum, label_loss_sum, language_model_loss
from lorafit.training.optim import AdamW, parameter_groups
from lorafit.training.recompute import recompute_activations
from lorafit.training.rng import seed_all
from lorafit.training.schedule import Schedule, count_steps, count_warmup, warmup_factor
from lorafit.training.sharding import check_shardable, shard_frozen
from lorafit.training.world import ALONE, World

__all__ = [
    "ALONE",
    "AdamW",
    "Batch",
    "EpochEnded",
    "MemoryRanOut",
    "Movement",
    "Position",
    "Schedule",
    "Stepped",
    "Steps",
    "World",
    "all_finite",
    "check_shardable",
    "count_steps",
    "count_warmup",
    "cross_entropy_sum",
    "fit",
    "label_loss_sum",
    "language_model_loss",
    "open_world",
    "parameter_groups",
    "recompute_activations",
    "seed_all",
    "shard_frozen",
    "warmup_factor",
]

"""Loss, optimizer, schedule, the loop and its checkpoints."""

from lorafit.training.compiled import check_compilable, check_compiler, compile_blocks
from lorafit.training.distributed import open_process_group
from lorafit.training.health import Movement, all_finite
from lorafit.training.loop import (
    Batch,
    EpochEnded,
    Failed,
    FewerAtOnce,
    FitEvent,
    Loss,
    MemoryRanOut,
    Stepped,
    fit,
)
from lorafit.training.loss import cross_entropy_sum, label_loss_sum, label_loss_sums, language_model_loss_sums
from lorafit.training.member import Member, Position, Steps
from lorafit.training.optim import AdamW, check_lora_plus, make_optimizer, parameter_groups
from lorafit.training.process_group import NeverStop, ProcessGroup, StopCheck
from lorafit.training.recompute import check_recomputable, recompute_activations
from lorafit.training.rng import seed_all
from lorafit.training.schedule import Schedule, count_steps, count_warmup, warmup_factor
from lorafit.training.sharding import check_shardable, shard_frozen

__all__ = [
    "AdamW",
    "Batch",
    "EpochEnded",
    "Failed",
    "FewerAtOnce",
    "FitEvent",
    "Loss",
    "Member",
    "MemoryRanOut",
    "Movement",
    "NeverStop",
    "Position",
    "ProcessGroup",
    "Schedule",
    "Stepped",
    "Steps",
    "StopCheck",
    "all_finite",
    "check_compilable",
    "check_compiler",
    "check_lora_plus",
    "check_recomputable",
    "check_shardable",
    "compile_blocks",
    "count_steps",
    "count_warmup",
    "cross_entropy_sum",
    "fit",
    "label_loss_sum",
    "label_loss_sums",
    "language_model_loss_sums",
    "make_optimizer",
    "open_process_group",
    "parameter_groups",
    "recompute_activations",
    "seed_all",
    "shard_frozen",
    "warmup_factor",
]

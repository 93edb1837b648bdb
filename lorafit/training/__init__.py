"""Loss, optimizer, schedule and the loop."""

from lorafit.training.health import Movement, all_finite
from lorafit.training.loop import Batch, EpochEnded, Stepped, Steps, fit
from lorafit.training.loss import cross_entropy_sum, label_loss_sum, language_model_loss
from lorafit.training.optim import AdamW, parameter_groups
from lorafit.training.schedule import Schedule, count_steps, count_warmup, warmup_factor

__all__ = [
    "AdamW",
    "Batch",
    "EpochEnded",
    "Movement",
    "Schedule",
    "Stepped",
    "Steps",
    "all_finite",
    "count_steps",
    "count_warmup",
    "cross_entropy_sum",
    "fit",
    "label_loss_sum",
    "language_model_loss",
    "parameter_groups",
    "warmup_factor",
]

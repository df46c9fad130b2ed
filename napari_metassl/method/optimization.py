"""Device, precision and optimizer of a training run."""

from __future__ import annotations

import math

import torch
from lightning_fabric import Fabric
from torch import nn

from napari_metassl.method.training_config import TrainingConfig


def make_fabric(device: torch.device, config: TrainingConfig) -> Fabric:
    """Set up one device with the precision of ``config``.

    ``auto`` is 16-bit mixed with a scaled loss on CUDA and 32-bit elsewhere.
    """
    names = {"32": "32-true", "auto": "16-mixed" if device.type == "cuda" else "32-true"}
    return Fabric(
        accelerator=device.type,
        devices=[device.index] if device.type == "cuda" and device.index is not None else 1,
        precision=names.get(config.precision, config.precision),
    )


def make_optimizer(strategy: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """Make the optimizer over all weights of the strategy that learn.

    AdamW (Loshchilov & Hutter, Decoupled Weight Decay Regularization, ICLR 2019), or SGD with
    momentum 0.9; learning rate and weight decay are those of ``config``.
    """
    weights = [weight for weight in strategy.parameters() if weight.requires_grad]
    decay = config.weight_decay
    if config.optimizer == "sgd":
        return torch.optim.SGD(weights, config.learning_rate, momentum=0.9, weight_decay=decay)
    return torch.optim.AdamW(weights, config.learning_rate, weight_decay=decay)


def polynomial_rate(step: int, config: TrainingConfig) -> float:
    """Learning rate of a step (0-based): lr (1 - t/T)^0.9, with T all steps of ``config``.

    The "poly" schedule (Chen et al., DeepLab, TPAMI 2018).
    """
    return config.learning_rate * math.pow(1.0 - step / config.steps, 0.9)

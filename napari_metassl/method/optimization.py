"""Device, precision and optimizer of a training run."""

from __future__ import annotations

import math
import os
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import TorchElasticEnvironment
from torch import nn

from napari_metassl.method.placing import pick_device
from napari_metassl.method.training_config import TrainingConfig


def make_fabric(config: TrainingConfig) -> Fabric:
    """Set up the device and the precision of ``config``.

    ``auto`` is 16-bit mixed with a scaled loss on CUDA and 32-bit elsewhere. In a process that
    ``torchrun`` (or whatever sets the same variables, such as Ray Train) started with others,
    the device is this process's own, and gradients are averaged over all of them.

    Raises
    ------
    PairProblem
        If the device does not exist here.
    """
    device = pick_device(config.device)
    names = {"32": "32-true", "auto": "16-mixed" if device.type == "cuda" else "32-true"}
    placing: dict[str, Any] = {
        "devices": [device.index] if device.type == "cuda" and device.index is not None else 1
    }
    processes, here = (
        int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE")
    )
    if processes > 1:
        placing = {
            "devices": here,
            "num_nodes": processes // here,
            "strategy": "ddp",
            "plugins": [TorchElasticEnvironment()],
        }
    fabric = Fabric(
        accelerator=device.type,
        precision=names.get(config.precision, config.precision),
        **placing,
    )
    fabric.launch()
    return fabric


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

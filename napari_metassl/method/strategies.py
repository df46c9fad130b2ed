"""The strategies and their registry; the loss and the trainer are the same for all."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from napari_metassl.errors import MetaSSLError
from napari_metassl.method.batch import Batch
from napari_metassl.method.cct import CrossConsistencyTraining
from napari_metassl.method.losses import ONE_SIDED
from napari_metassl.method.perturbations import add_noise, change_strongly, cut_mix
from napari_metassl.method.strategy import Networks, Strategy
from napari_metassl.method.training_config import StrategyName, TrainingConfig


class CrossPseudoSupervision(Strategy):
    """CPS: two networks, of different initialisation or architecture, teach each other.

    Chen et al., Semi-Supervised Semantic Segmentation with Cross Pseudo Supervision, CVPR 2021.

    Raises
    ------
    MetaSSLError
        If there is one network only.
    """

    def __init__(self, networks: Networks, config: TrainingConfig) -> None:
        super().__init__()
        self.supervised, reference = networks
        if reference is None or reference is self.supervised:
            raise MetaSSLError(
                "Cross pseudo supervision got one network, expected two. Add a second network "
                "with another seed or architecture, or choose Mean Teacher."
            )
        self.reference = reference

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Give each network the same image."""
        return self.supervised(image), self.reference(image)


class MeanTeacher(Strategy):
    r"""The teacher is the exponential moving average of the student; each sees noise of its own.

    .. math:: \theta'_t = \alpha\, \theta'_{t-1} + (1 - \alpha)\, \theta_t, \qquad
        \alpha = \min(1 - 1 / (t + 1),\ \text{decay})

    for weights and batch-norm buffers alike (Tarvainen & Valpola, Mean teachers are better role
    models, NeurIPS 2017; there with a mean squared difference).

    Raises
    ------
    MetaSSLError
        If student and teacher have different weights.
    """

    links = ONE_SIDED

    def __init__(self, networks: Networks, config: TrainingConfig) -> None:
        super().__init__()
        student, teacher = networks
        if teacher is None or teacher is student:
            teacher = copy.deepcopy(student)
        if _shapes(teacher) != _shapes(student):
            raise MetaSSLError(
                "Student and teacher have different weights, expected the same architecture "
                "twice. Use cross pseudo supervision for two architectures."
            )
        self.supervised, self.reference = student, teacher.requires_grad_(False)
        self.ema_decay = config.ema_decay

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Give student and teacher the image, each with noise of its own."""
        student = self.supervised(add_noise(image))
        with torch.no_grad():
            teacher = self.reference(add_noise(image))
        return student, teacher

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """Move the teacher; its first step (0) makes it the student."""
        decay = min(1.0 - 1.0 / (step + 1), self.ema_decay)
        student = self.supervised.state_dict()
        for name, value in self.reference.state_dict().items():
            if value.is_floating_point():
                value.lerp_(student[name].to(value.dtype), 1.0 - decay)
            else:  # counters of batch normalisation
                value.copy_(student[name])


class FixMatch(Strategy):
    """The weak view of an image teaches the strong view of it; one network.

    Sohn et al., FixMatch, NeurIPS 2020; there with a fixed confidence threshold of 0.95. No voxel
    moves between the views. CutMix of the batch is seen by both.
    """

    links = ONE_SIDED

    def __init__(self, networks: Networks, config: TrainingConfig) -> None:
        super().__init__()
        self.supervised = self.reference = networks[0]

    def prepare(self, batch: Batch) -> Batch:
        """Exchange a box between the items, the same for both views."""
        return cut_mix(batch)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Predict the strong view with gradient and the weak view without."""
        with torch.no_grad():
            weak = self.supervised(image)
        return self.supervised(change_strongly(image)), weak


class RDrop(Strategy):
    """Two passes of one network under different dropout masks teach each other.

    Wu, Liang et al., R-Drop: Regularized Dropout for Neural Networks, NeurIPS 2021; there with
    the Kullback-Leibler divergence of both passes.

    Raises
    ------
    MetaSSLError
        If the network has no dropout.
    """

    def __init__(self, networks: Networks, config: TrainingConfig) -> None:
        super().__init__()
        self.supervised = self.reference = networks[0]
        if not any(_drops(module) for module in networks[0].modules()):
            raise MetaSSLError(
                "R-Drop got a network without dropout, expected dropout so that two passes "
                "differ. Build the network with the option dropout=0.2."
            )

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Predict twice; the dropout masks differ."""
        return self.supervised(image), self.supervised(image)


STRATEGIES: dict[StrategyName, type[Strategy]] = {
    "cps": CrossPseudoSupervision,
    "mean_teacher": MeanTeacher,
    "fixmatch": FixMatch,
    "cct": CrossConsistencyTraining,
    "r_drop": RDrop,
}
"""Every strategy by the name it has in settings and on cards."""


def make_strategy(networks: Networks, config: TrainingConfig) -> Strategy:
    """Make the configured strategy around the networks (supervised, reference or None).

    Raises
    ------
    MetaSSLError
        If the networks do not suit it.
    """
    return STRATEGIES[config.strategy](networks, config)


def _shapes(network: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in network.state_dict().items()}


def _drops(module: nn.Module) -> bool:
    rate = getattr(module, "p", 0.0)
    return "Dropout" in type(module).__name__ and isinstance(rate, float) and rate > 0.0

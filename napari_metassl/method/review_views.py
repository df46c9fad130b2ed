"""What each prediction of a pair sees when it is made for review: the strategy's own two.

The two networks of an R-Drop or a FixMatch pair have the same weights, so asked plainly they never
disagree. What they disagree about shows as in training: under two dropout masks, or between the
strong view of the image and the image itself. All chance is fixed by seeds: a pair and a volume
always give the same prediction (on another kind of device, dropout masks are other ones).

Figures that say how good a pair is come from the plain answer, never from these views.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from napari_metassl.method.perturbations import change_strongly

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class View:
    """What one prediction sees; the default is the plain image, without dropout.

    Attributes
    ----------
    change
        Done once to the whole image, (1, channels, Z, Y, X) on the CPU; no voxel may move. None
        leaves it as it is.
    dropout
        Whether dropout stays active, with one and the same mask for every window.
    seed
        Of the chance in both.
    """

    change: Callable[[Tensor], Tensor] | None = None
    dropout: bool = False
    seed: int = 0

    def of(self, image: Floats) -> Floats:
        """Return the image, (channels, Z, Y, X), as this view shows it."""
        if self.change is None:
            return image
        given = torch.from_numpy(np.require(image, np.float32, ["C", "W"]))
        with _chance_from(self.seed, given.device):
            changed: Floats = self.change(given[None])[0].numpy()
        return changed


def _strongly(image: Tensor) -> Tensor:
    """FixMatch's strong view; in training some items stay without noise, here none does."""
    return change_strongly(image, noisy=1.0)


PLAIN = View()
PLAIN_PAIR = (PLAIN, PLAIN)

# (supervised, reference); pairs of strategies that do not stand here are reviewed plainly.
REVIEW_VIEWS: dict[str, tuple[View, View]] = {
    "fixmatch": (View(change=_strongly, seed=1), PLAIN),
    "r_drop": (View(dropout=True, seed=1), View(dropout=True, seed=2)),
}


def review_views(strategy: str) -> tuple[View, View]:
    """Return what the supervised and the reference prediction of such a pair see for review."""
    return REVIEW_VIEWS.get(strategy, PLAIN_PAIR)


class Viewer(nn.Module):
    """A network behind a view.

    Parameters
    ----------
    network
        In evaluation mode when asked.
    view
        Its dropout and seed count here; the image has been changed already.
    channels
        Where among the channels of the windows the view's image is.
    """

    def __init__(self, network: nn.Module, view: View, channels: slice) -> None:
        super().__init__()
        self.network = network
        self.view = view
        self.channels = channels

    def forward(self, windows: Tensor) -> Tensor:
        """Logits (B, C, *window) of windows (B, channels of all views, *window).

        With dropout windows go through one by one, each from the same seed: a mask depends neither
        on how many windows are fed together nor on where the window lies.
        """
        seen = windows[:, self.channels]
        if not self.view.dropout:
            logits: Tensor = self.network(seen)
            return logits
        with _dropping(self.network):
            return torch.cat([self._from_the_seed(window) for window in torch.split(seen, 1)])

    def _from_the_seed(self, window: Tensor) -> Tensor:
        with _chance_from(self.view.seed, window.device):
            logits: Tensor = self.network(window)
        return logits


def through_views(
    networks: Sequence[nn.Module], image: Floats, views: Sequence[View] | None
) -> tuple[list[nn.Module], Floats]:
    """Put every network behind its view.

    Parameters
    ----------
    image
        (channels, Z, Y, X).
    views
        One per network; None is plain for all, which gives back what was given.

    Returns
    -------
    networks, image
        What to ask, the same object where the same network has the same view, and what to show
        them: the channels of the plain image first, then those of every changed one.

    Raises
    ------
    ValueError
        If there are not as many views as networks.
    """
    if views is None or all(view == PLAIN for view in views):
        return list(networks), image
    images = [image]
    starts: dict[View, int] = {}
    viewers: dict[tuple[int, View], nn.Module] = {}
    asked = []
    for network, view in zip(networks, views, strict=True):
        if view.change is not None and view not in starts:
            starts[view] = len(images) * len(image)
            images.append(view.of(image))
        start = starts.get(view, 0)
        viewer = Viewer(network, view, slice(start, start + len(image)))
        asked.append(viewers.setdefault((id(network), view), viewer))
    return asked, np.concatenate(images) if len(images) > 1 else image


@contextmanager
def _dropping(network: nn.Module) -> Iterator[None]:
    """Dropout alone is in training mode inside; normalisation stays as it is."""
    dropouts = [m for m in network.modules() if "Dropout" in type(m).__name__]
    before = [module.training for module in dropouts]
    try:
        for module in dropouts:
            module.training = True
        yield
    finally:
        for module, training in zip(dropouts, before, strict=True):
            module.training = training


@contextmanager
def _chance_from(seed: int, device: torch.device) -> Iterator[None]:
    """Draw from the seed inside; the global random state is left as it was."""
    on_cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(on_cuda, device_type="cuda"):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed every device
        if on_cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        elif device.type != "cpu":  # of other devices the state cannot be put back
            torch.get_device_module(device).manual_seed(seed)
        yield

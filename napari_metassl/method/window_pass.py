"""Overlapping windows through all networks, blended and handed on plane by plane.

The volume is taken in slabs one window deep. MONAI's sliding window inferer blends the windows of a
slab with Gaussian weights; slabs are blended among each other with the same Gaussian along z, which
is a factor of the three-dimensional one. Planes that no later slab touches are handed on at once,
so the class probabilities of the whole volume are never held.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from monai.data.utils import compute_importance_map
from monai.inferers.utils import sliding_window_inference
from torch import Tensor, nn

from napari_metassl.errors import Cancelled, PairProblem
from napari_metassl.method.placing import Placing, is_out_of_memory

SLICES_AT_ONCE = 16  # of a volume given to 2D networks


@dataclass
class Watch:
    """Counts windows, reports progress, stops when the person asks for it.

    Attributes
    ----------
    progress
        Called with the finished part, 0..1.
    cancelled
        True when the work shall stop.
    notice
        Called with a sentence the person should know.
    windows, done
        How many windows there are and how many are done.
    """

    progress: Callable[[float], None] | None
    cancelled: Callable[[], bool] | None
    notice: Callable[[str], None]
    windows: int = 1
    done: int = 0

    def stop_if_cancelled(self) -> None:
        """Raise `Cancelled` when the person asked for it."""
        if self.cancelled is not None and self.cancelled():
            raise Cancelled("The prediction was cancelled; nothing was changed.")

    def advance(self, windows: int) -> None:
        """Count windows as done and report."""
        self.done += windows
        if self.progress is not None:
            self.progress(min(self.done / self.windows, 1.0))


class WindowPass:
    """One pass of all networks over one volume.

    Parameters
    ----------
    networks
        N networks on `placing.device`, in evaluation mode.
    image
        (channels, Z, Y, X) float32, at least as large as the window; further channels may show
        the same volume changed.
    windows
        Window size (2 or 3 sides) and the part of it neighbours share.
    placing
        How to begin; a thriftier way is taken when memory runs out.
    watch
        Progress and cancellation.
    channels
        How many of the first channels are the plain image, which tells what is air (a changed one
        may have noise there); None for all.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        image: npt.NDArray[np.float32],
        windows: tuple[tuple[int, ...], float],
        placing: Placing,
        watch: Watch,
        *,
        channels: int | None = None,
    ) -> None:
        self.networks = networks
        self.image = torch.from_numpy(np.require(image, np.float32, ["C", "W"]))
        self.patch, self.overlap = windows
        self.is_flat = len(self.patch) == 2
        self.placing = placing
        self.watch = watch
        self.classes: int | None = None
        self._air = self.image[:channels].amin(dim=(1, 2, 3))
        self._slabs = self._find_slabs()
        watch.windows = self._count_windows()

    def finished_planes(self) -> Iterator[Tensor]:
        """Yield probabilities (N, C, planes, Y, X) in order of z."""
        kept: Tensor | None = None
        kept_weight = torch.empty(0)
        next_starts = [start for start, _ in self._slabs[1:]] + [self._slabs[-1][1]]
        for (start, stop), next_start in zip(self._slabs, next_starts, strict=True):
            slab = self._predict_slab(start, stop)
            weight = self._weight_along_z(stop - start).to(slab.device)
            slab *= weight[:, None, None]
            if kept is not None:
                slab[:, :, : kept.shape[2]] += kept.to(slab.device)
                weight[: kept.shape[2]] += kept_weight.to(slab.device)
            finished = next_start - start
            yield slab[:, :, :finished].div_(weight[:finished, None, None])
            kept, kept_weight = slab[:, :, finished:], weight[finished:]

    def _find_slabs(self) -> list[tuple[int, int]]:
        """(start, stop) along z: overlapping windows of 3D networks, runs of slices of 2D ones."""
        depth = self.image.shape[1]
        if self.is_flat:
            starts = range(0, depth, SLICES_AT_ONCE)
            return [(at, min(at + SLICES_AT_ONCE, depth)) for at in starts]
        starts_3d = _window_starts(depth, self.patch[0], self.overlap)
        return [(at, at + self.patch[0]) for at in starts_3d]

    def _count_windows(self) -> int:
        sides = zip(self.image.shape[2:], self.patch[-2:], strict=True)
        in_plane = math.prod(len(_window_starts(n, side, self.overlap)) for n, side in sides)
        return in_plane * (self.image.shape[1] if self.is_flat else len(self._slabs))

    def _weight_along_z(self, planes: int) -> Tensor:
        return torch.ones(planes) if self.is_flat else _gaussian((planes,))

    def _predict_slab(self, start: int, stop: int) -> Tensor:
        """Probabilities (N, C, planes, Y, X) of one slab; takes a slower way when it has to."""
        done_before = self.watch.done
        while True:
            slab = None
            try:
                slab = self._blend_windows(self.image[:, start:stop])
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            # Outside the handler: only now can the failed attempt's tensors be freed.
            if slab is None:
                self._need_less_memory()
            elif bool(torch.isfinite(slab).all()):
                return slab
            else:
                self._need_more_precision()
            self.watch.done = done_before

    def _blend_windows(self, slab: Tensor) -> Tensor:
        """MONAI's Gaussian blending of the windows of one slab (channels, planes, Y, X)."""
        weight = _gaussian(self.patch[-2:]).to(self.placing.device)
        blended: Tensor = sliding_window_inference(
            slab.transpose(0, 1) if self.is_flat else slab[None],
            self.patch,
            self.placing.batch,
            self._predict_windows,
            overlap=self.overlap,
            mode="gaussian",
            roi_weight_map=weight if self.is_flat else weight.expand(self.patch),
            sw_device=self.placing.device,
            device=self.placing.gather_on,
        )
        planes = blended.transpose(0, 1) if self.is_flat else blended[0]
        return planes.reshape(len(self.networks), -1, *planes.shape[1:])

    def _predict_windows(self, windows: Tensor) -> Tensor:
        """Probabilities (B, N * C, *window) of windows (B, channels, *window)."""
        self.watch.stop_if_cancelled()
        highest = windows[:, : len(self._air)].flatten(2).amax(dim=2)
        asked = (highest > self._air.to(windows.device)).any(dim=1)
        if self.classes is None or bool(asked.all()):
            answer = self._ask_networks(windows)
        else:
            answer = self._background(windows)
            if bool(asked.any()):
                answer[asked] = self._ask_networks(windows[asked])
        self.watch.advance(len(windows))
        return answer

    def _ask_networks(self, windows: Tensor) -> Tensor:
        """Probabilities of all networks, one after the other along the channels."""
        answers: dict[int, Tensor] = {}  # a network given twice is asked once
        dtype = self.placing.dtype
        for network in self.networks:
            if id(network) not in answers:
                with torch.autocast(windows.device.type, dtype, enabled=dtype is not None):
                    logits = network(windows)
                self._check_logits(logits, windows)
                answers[id(network)] = torch.softmax(logits.float(), dim=1)
        return torch.cat([answers[id(network)] for network in self.networks], dim=1)

    def _background(self, windows: Tensor) -> Tensor:
        assert self.classes is not None
        channels = len(self.networks) * self.classes
        answer = windows.new_zeros((len(windows), channels, *windows.shape[2:]))
        answer[:, :: self.classes] = 1
        return answer

    def _check_logits(self, logits: Tensor, windows: Tensor) -> None:
        classes = self.classes or logits.shape[1]
        expected = (len(windows), classes, *windows.shape[2:])
        if tuple(logits.shape) != expected:
            raise PairProblem(
                f"A network answered windows of {tuple(windows.shape)} with {tuple(logits.shape)}, "
                f"expected {expected}. Give networks with the same classes and a window they take."
            )
        self.classes = classes

    def _need_less_memory(self) -> None:
        thriftier = self.placing.thriftier()
        if thriftier is None:
            raise PairProblem(
                f"Memory does not suffice for windows of {self.patch} voxels even "
                f"{self.placing.describe()}. Use a smaller patch size or close other programs."
            )
        self.watch.notice(
            f"Memory did not suffice {self.placing.describe()}; "
            f"going on {thriftier.describe()}, which is slower."
        )
        self.placing = thriftier
        for network in self.networks:
            network.to(thriftier.device)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _need_more_precision(self) -> None:
        if self.placing.dtype is None:
            raise PairProblem(
                "The networks answered with NaN or infinity, expected finite logits. "
                "Check that the pair's weights and its intensity normalisation suit this volume."
            )
        self.watch.notice("Mixed precision gave NaN or infinity; going on in 32 bits.")
        self.placing = replace(self.placing, dtype=None)


def _window_starts(size: int, side: int, overlap: float) -> list[int]:
    """First voxel of each window along one axis, as MONAI's inferer places them."""
    step = side if side == size else max(int(side * (1 - overlap)), 1)
    count = max(math.ceil((size - side) / step), 0) + 1
    return [min(at * step, size - side) for at in range(count)]


def _gaussian(sides: tuple[int, ...]) -> Tensor:
    """MONAI's importance map of a window: highest in the middle, never 0."""
    weight: Tensor = compute_importance_map(sides, mode="gaussian", sigma_scale=0.125)
    return weight

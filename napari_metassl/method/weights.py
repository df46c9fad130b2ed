"""Do these weights belong to this network? Names and shapes compared before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from napari_metassl.errors import PairProblem

MAX_NAMED = 3


def first_names(network: nn.Module) -> dict[str, str]:
    """Map every name of the state dict to the first name of the very same tensor.

    MONAI's DynUNet lists its blocks twice; each tensor is kept once, under its first name.
    """
    first: dict[int, str] = {}
    tensors = network.state_dict(keep_vars=True)
    return {name: first.setdefault(id(tensor), name) for name, tensor in tensors.items()}


def own_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Return the network's tensors, each once, contiguous, on the CPU and sharing no memory."""
    tensors = network.state_dict()
    return {
        name: tensors[name].detach().to("cpu", copy=True).contiguous()
        for name in dict.fromkeys(first_names(network).values())
    }


def load_weights(network: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Copy `weights` into `network`, all or nothing.

    Parameters
    ----------
    network
        Changed in place.
    weights
        Tensors by name; a tensor the network holds under two names may come under either.
    source
        What is being loaded and into which network, for the message: "'a.pt' and UNet".

    Raises
    ------
    PairProblem
        If tensors are missing, are extra or have another shape; some of them are named.
    """
    names = first_names(network)
    expected = network.state_dict()
    found = {names.get(name, name): tensor for name, tensor in weights.items()}
    wanted = dict.fromkeys(names.values())
    missing = [name for name in wanted if name not in found]
    extra = [name for name in found if name not in wanted]
    reshaped = [
        f"{name} is {_shape(found[name])} instead of {_shape(expected[name])}"
        for name in wanted
        if name in found and found[name].shape != expected[name].shape
    ]
    if missing or extra or reshaped:
        complaints = [
            _some(missing, "missing"),
            _some(extra, "extra"),
            _some(reshaped, "of another shape"),
        ]
        raise PairProblem(
            f"{source} do not fit: {'; '.join(filter(None, complaints))}. "
            "Choose the architecture and options the weights were trained with."
        )
    with torch.no_grad():
        for name in wanted:
            expected[name].copy_(found[name])


def _shape(tensor: Tensor) -> str:
    return f"({', '.join(map(str, tensor.shape))})"


def _some(names: Sequence[str], what: str) -> str:
    """'5 tensors are missing (a, b, c, ...)'."""
    if not names:
        return ""
    named = ", ".join(names[:MAX_NAMED]) + (", ..." if len(names) > MAX_NAMED else "")
    return f"{len(names)} tensor{'s are' if len(names) > 1 else ' is'} {what} ({named})"

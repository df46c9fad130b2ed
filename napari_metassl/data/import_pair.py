"""Networks trained elsewhere: PyTorch state dicts and MONAI bundles, without running their code.

A state dict is read with `weights_only=True`; of a bundle only the network's definition is read,
its class must be on the allow-list and its arguments plain values or references to plain values.
Intensity normalisation and spacing are not taken over: they go into the new pair's card.
"""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.networks import nets
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from napari_metassl.data.model_card import ModelCard
from napari_metassl.data.model_pair import ModelPair
from napari_metassl.errors import PairProblem
from napari_metassl.method.network_config import ARCHITECTURES, NetworkConfig
from napari_metassl.method.networks import build_network, constructor_defaults
from napari_metassl.method.weights import first_names, load_weights, own_tensors

NESTED_KEYS = (
    "state_dict", "model_state_dict", "network_weights", "model", "network", "net", "weights",
)  # fmt: skip
PREFIXES = ("module.", "_orig_mod.", "net.", "network.", "model.")
DEEP_SUPERVISION = ("deep_supervision_heads.", "super_head.")

NETWORK_KEYS = ("network_def", "network", "net_def", "net", "model")
CONFIG_FILES = tuple(
    f"configs/{stem}.{suffix}"
    for stem in ("inference", "train")
    for suffix in ("json", "yaml", "yml")
)
BUNDLE_WEIGHTS = ("models/model.pt", "models/model.safetensors")
# Arguments that leave the weights alone (or concern training only) and have no counterpart here.
SET_ASIDE = frozenset(
    (
        "deep_supervision",
        "deep_supr_num",
        "dsdepth",
        "pretrained",
        "progress",
        "dropout_dim",
        "dropout_prob",
        "save_attn",
    )
)


@dataclass(frozen=True, eq=False)
class ImportedNetwork:
    """A network from a MONAI bundle.

    Attributes
    ----------
    config
        Its allow-listed configuration.
    network
        With the bundle's weights, in evaluation mode.
    class_names
        From the bundle's metadata where it names one for each class, else None.
    """

    config: NetworkConfig
    network: nn.Module
    class_names: tuple[str, ...] | None


def import_state_dict(path: Path, config: NetworkConfig) -> nn.Module:
    """Build the network of `config` and give it the weights in a `.pt`, `.pth` or safetensors file.

    Weights nested under a key such as 'state_dict' and names prefixed by wrappers ('module.',
    'net.', '_orig_mod.' ...) are found.

    Raises
    ------
    PairProblem
        If the file cannot be read without running code from it, or does not fit `config`.
    """
    network = build_network(config)
    weights = _best_match(_tensors(_read(Path(path)), Path(path)), set(first_names(network)))
    if config.architecture == "DynUNet":  # its extra training heads are not used for prediction
        weights = {
            name: tensor
            for name, tensor in weights.items()
            if not any(head in name for head in DEEP_SUPERVISION)
        }
    load_weights(network, weights, f"The weights in '{path}' and {config.architecture}")
    return network.eval()


def import_monai_bundle(folder: Path) -> ImportedNetwork:
    """Read the network of a MONAI bundle: its definition and `models/model.pt`.

    Raises
    ------
    PairProblem
        If the folder is no bundle, its network is not on the allow-list or is written with
        expressions ('$...'), or its weights do not fit.
    """
    folder = Path(folder)
    config = _network_config(folder)
    weights = next((folder / file for file in BUNDLE_WEIGHTS if (folder / file).is_file()), None)
    if weights is None:
        raise PairProblem(
            f"Bundle '{folder}' has no {BUNDLE_WEIGHTS[0]}. Download its weights first."
        )
    return ImportedNetwork(
        config, import_state_dict(weights, config), _class_names(folder, config.classes)
    )


def pair_from_networks(card: ModelCard, supervised: nn.Module, reference: nn.Module) -> ModelPair:
    """Make a pair of copies of two networks that fit the card.

    The same network may be given twice: then the two predictions start out the same, nothing is
    discrepant, and the first training on unlabeled volumes has to tell them apart (Mean Teacher
    does so by itself; for CPS import or initialise a second network).

    Raises
    ------
    PairProblem
        If a network is not what the card says.
    """
    copies = []
    for given, config in zip((supervised, reference), card.networks, strict=True):
        network = build_network(config)
        source = f"The given network and the card's {config.architecture}"
        load_weights(network, own_tensors(given), source)
        copies.append(network.eval())
    return ModelPair(card, *copies)


def _read(path: Path) -> Any:
    """Content of a weights file; nothing in it is executed."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise PairProblem(f"There is no file '{path}'. Check the path.") from error
    except pickle.UnpicklingError as error:
        raise PairProblem(
            f"'{path}' holds Python objects, not only tensors, and opening it could run code. "
            "Save torch.save(network.state_dict(), ...) where it was made and import that."
        ) from error
    except (SafetensorError, RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        reason = str(error).strip().split("\n")[0]
        raise PairProblem(
            f"'{path}' is not a PyTorch state dict or is damaged ({reason}). "
            "Give a file made with torch.save(network.state_dict(), ...)."
        ) from error


def _tensors(content: Any, path: Path) -> dict[str, Tensor]:
    """Find the mapping of names to tensors in `content`, possibly one level down."""
    if isinstance(content, Mapping):
        for candidate in (content, *(content.get(key) for key in NESTED_KEYS)):
            if isinstance(candidate, Mapping):
                tensors = {str(k): v for k, v in candidate.items() if isinstance(v, Tensor)}
                if tensors:
                    return tensors
    raise PairProblem(
        f"'{path}' holds no tensors by name (looked at the top and under {', '.join(NESTED_KEYS)})."
        " Give a file made with torch.save(network.state_dict(), ...)."
    )


def _best_match(weights: dict[str, Tensor], expected: set[str]) -> dict[str, Tensor]:
    """Strip the wrapper prefixes after which most names are the network's own."""
    return max(_stripped(weights), key=lambda candidate: len(expected & candidate.keys()))


def _stripped(weights: dict[str, Tensor], depth: int = 3) -> Iterator[dict[str, Tensor]]:
    yield weights
    if depth == 0:
        return
    for prefix in PREFIXES:
        inner = {n.removeprefix(prefix): t for n, t in weights.items() if n.startswith(prefix)}
        if inner:
            yield from _stripped(inner, depth - 1)


def _network_config(folder: Path) -> NetworkConfig:
    for file in CONFIG_FILES:
        if not (folder / file).is_file():
            continue
        content = _parse(folder / file)
        for key in NETWORK_KEYS:
            definition = content.get(key)
            if isinstance(definition, dict) and "_target_" in definition:
                return _config_of(_resolve(definition, content, file), f"{folder}/{file}")
    raise PairProblem(
        f"'{folder}' is not a MONAI bundle with a plain network definition: none of "
        f"{', '.join(CONFIG_FILES)} has '{NETWORK_KEYS[0]}' or '{NETWORK_KEYS[1]}' with a "
        "'_target_'. Import the weights as a state dict instead."
    )


def _parse(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            content = json.loads(text)
        else:
            import yaml  # type: ignore[import-untyped]

            content = yaml.safe_load(text)
    except Exception as error:  # json's and yaml's errors have no common base
        raise PairProblem(f"'{path}' cannot be read ({error}). Repair the bundle.") from error
    return content if isinstance(content, dict) else {}


def _resolve(value: Any, content: dict[str, Any], file: str, depth: int = 8) -> Any:
    """Replace '@name' and '@list#0' by the plain values they point at."""
    if isinstance(value, dict):
        return {key: _resolve(part, content, file, depth) for key, part in value.items()}
    if isinstance(value, list):
        return [_resolve(part, content, file, depth) for part in value]
    if depth == 0 or (isinstance(value, str) and value.startswith(("$", "%"))):
        raise PairProblem(
            f"{file} of the bundle computes its network with the expression '{value}', which is "
            "not run. Write the value itself there, or import the weights as a state dict."
        )
    if isinstance(value, str) and value.startswith("@"):
        return _resolve(_look_up(value, content, file), content, file, depth - 1)
    return value


def _look_up(reference: str, content: dict[str, Any], file: str) -> Any:
    found: Any = content
    for part in reference[1:].replace("::", "#").split("#"):
        try:
            found = found[int(part)] if isinstance(found, list) else found[part]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise PairProblem(
                f"{file} of the bundle refers to '{reference}', which is not in it. "
                "Import the weights as a state dict instead."
            ) from error
    return found


def _config_of(definition: dict[str, Any], source: str) -> NetworkConfig:
    architecture = _allowed_target(str(definition["_target_"]), source)
    defaults = constructor_defaults(architecture)
    given = {key: value for key, value in definition.items() if not key.startswith("_")}
    if "dimensions" in given:
        given.setdefault("spatial_dims", given.pop("dimensions"))
    common = {
        ours: given.pop(theirs, defaults.get(theirs))
        for ours, theirs in (
            ("spatial_dims", "spatial_dims"),
            ("in_channels", "in_channels"),
            ("classes", "out_channels"),
        )
    }
    if common["classes"] == 1:
        raise PairProblem(
            f"The network in {source} has one output channel (a sigmoid); a pair needs one per "
            "class, background included. Train a network with at least 2 output channels."
        )
    return NetworkConfig(
        architecture=architecture, options=_options(architecture, given, defaults), **common
    )


def _options(architecture: str, given: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Return the bundle's options, with MONAI's own defaults where this project's are smaller."""
    known = ARCHITECTURES[architecture]
    options = {
        key: value
        for key, value in given.items()
        if key in known.options or not _without_effect(architecture, key, value, defaults)
    }
    ours = {**known.defaults, **known.derived(options)}
    missing = [key for key in ours if key not in options and key in defaults]
    return {**options, **{key: copy.copy(defaults[key]) for key in missing}}


def _without_effect(architecture: str, key: str, value: Any, defaults: dict[str, Any]) -> bool:
    if key in SET_ASIDE or (architecture == "SwinUNETR" and key == "img_size"):
        return True  # older MONAI wanted img_size; the weights do not depend on it
    return key in defaults and defaults[key] == value


def _allowed_target(target: str, source: str) -> str:
    module, _, name = target.rpartition(".")
    found = getattr(nets, name, None) if name.isidentifier() else None
    architecture = getattr(found, "__name__", "")
    if not isinstance(found, type) or architecture not in ARCHITECTURES:
        architecture = ""
    if not architecture or (module and not f"{module}.".startswith("monai.networks.nets.")):
        raise PairProblem(
            f"The network in {source} is '{target}', which is not used; it must be one of MONAI's "
            f"{', '.join(ARCHITECTURES)}."
        )
    return architecture


def _class_names(folder: Path, classes: int) -> tuple[str, ...] | None:
    """Read `channel_def` of the bundle's metadata, if it is complete."""
    path = folder / "configs" / "metadata.json"
    if not path.is_file():
        return None
    found: Any = _parse(path)
    for key in ("network_data_format", "outputs", "pred", "channel_def"):
        found = found.get(key) if isinstance(found, dict) else None
    if not isinstance(found, dict) or {str(k) for k in found} != {str(i) for i in range(classes)}:
        return None
    by_number = {str(key): str(name) for key, name in found.items()}
    return tuple(by_number[str(i)] for i in range(classes))

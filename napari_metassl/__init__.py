"""napari-metassl: review, correct and fine-tune segmentation pairs with the MetaSSL loss.

The names below are imported when they are first used, so that ``import napari_metassl`` brings
neither torch nor Qt nor napari.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Corrections": "data.corrections",
    "FineTuneSpec": "jobs.specs",
    "Geometry": "data.geometry",
    "LocalExecutor": "jobs.local",
    "MetaSSLLoss": "method.losses",
    "ModelCard": "data.model_card",
    "ModelPair": "data.model_pair",
    "PredictSpec": "jobs.specs",
    "PredictionPair": "data.prediction",
    "Project": "data.project",
    "Quadripartition": "data.quadripartition",
    "RegionWeights": "method.training_config",
    "Trainer": "method.trainer",
    "TrainingConfig": "method.training_config",
    "Volume": "data.volume",
    "load_pair": "data.model_pair",
    "read_labels": "data.volume_io",
    "read_volume": "data.volume_io",
    "save_pair": "data.model_pair",
    "write_labels": "data.volume_io",
}

if TYPE_CHECKING:
    from napari_metassl.data.corrections import Corrections
    from napari_metassl.data.geometry import Geometry
    from napari_metassl.data.model_card import ModelCard
    from napari_metassl.data.model_pair import ModelPair, load_pair, save_pair
    from napari_metassl.data.prediction import PredictionPair
    from napari_metassl.data.project import Project
    from napari_metassl.data.quadripartition import Quadripartition
    from napari_metassl.data.volume import Volume
    from napari_metassl.data.volume_io import read_labels, read_volume, write_labels
    from napari_metassl.jobs.local import LocalExecutor
    from napari_metassl.jobs.specs import FineTuneSpec, PredictSpec
    from napari_metassl.method.losses import MetaSSLLoss
    from napari_metassl.method.trainer import Trainer
    from napari_metassl.method.training_config import RegionWeights, TrainingConfig

__all__ = [
    "Corrections",
    "FineTuneSpec",
    "Geometry",
    "LocalExecutor",
    "MetaSSLLoss",
    "ModelCard",
    "ModelPair",
    "PredictSpec",
    "PredictionPair",
    "Project",
    "Quadripartition",
    "RegionWeights",
    "Trainer",
    "TrainingConfig",
    "Volume",
    "load_pair",
    "read_labels",
    "read_volume",
    "save_pair",
    "write_labels",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'napari_metassl' has no attribute '{name}'")
    return getattr(import_module(f"napari_metassl.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

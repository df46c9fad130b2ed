"""Every mistake with the method gets one answer: what was got, what was expected, what to do."""

import math

import numpy as np
import pytest
import torch
from monai.networks.nets import UNet
from torch import nn

from napari_metassl.data.geometry import Geometry
from napari_metassl.data.model_card import ModelCard
from napari_metassl.data.model_pair import new_pair, save_pair
from napari_metassl.data.project import Project
from napari_metassl.data.volume_io import write_labels, write_volume
from napari_metassl.errors import MetaSSLError, PairProblem
from napari_metassl.jobs.fine_tune import run_fine_tune
from napari_metassl.jobs.specs import FineTuneSpec
from napari_metassl.method.losses import ONE_SIDED, Link, MetaSSLLoss, NotFiniteError
from napari_metassl.method.network_config import NetworkConfig, fit_patch_size
from napari_metassl.method.regions import read_prediction
from napari_metassl.method.threshold import AdaptiveThresholds
from napari_metassl.method.trainer import Trainer
from napari_metassl.method.training_config import RegionWeights, TrainingConfig
from napari_metassl.method.training_volume import TrainingVolume

SHAPE = (4, 5, 6)
LOGITS = tuple(
    torch.randn((2, 3, *SHAPE), generator=torch.Generator().manual_seed(n)) for n in range(2)
)
LABEL = torch.arange(2 * math.prod(SHAPE)).view(2, *SHAPE) % 3
LABEL[1] = -1
FIRST, SECOND = LOGITS


def with_one(value: float, logits: torch.Tensor, channel: int = 0) -> torch.Tensor:
    """Logits with one value exchanged, in a voxel without a label."""
    spoiled = logits.clone()
    spoiled[1, channel, 0, 0, 0] = value
    return spoiled


def one_hot(label: torch.Tensor) -> torch.Tensor:
    return nn.functional.one_hot(label.clamp(min=0), 3)


SHAPES = {
    "logits of different shapes": (
        {"logits": (FIRST, SECOND[..., :-1])},
        "Logits of prediction 1 are of shape (2, 3, 4, 5, 5) on cpu, expected of shape "
        "(2, 3, 4, 5, 6) on cpu as those of prediction 0. Give all networks the same input and "
        "the same classes.",
    ),
    "logits on different devices": (
        {"logits": (FIRST, SECOND.to("meta"))},
        "Logits of prediction 1 are of shape (2, 3, 4, 5, 6) on meta, expected of shape "
        "(2, 3, 4, 5, 6) on cpu as those of prediction 0. Give all networks the same input and "
        "the same classes.",
    ),
    "other classes than the loss": (
        {"logits": [x[:, :2] for x in LOGITS]},
        "Logits have 2 classes, expected 3 as the loss was made for. Make the loss for as many "
        "classes as the networks give.",
    ),
    "one tensor for all predictions": (
        {"logits": FIRST},
        "Logits are one tensor of shape (2, 3, 4, 5, 6), expected a sequence of one tensor per "
        "prediction. Give them as [first, second].",
    ),
    "one prediction too few": (
        {"logits": [FIRST]},
        "There are logits of 1 prediction(s), expected 2 as the loss was made for. Give as many, "
        "or make it with predictions=1.",
    ),
    "one prediction too many": (
        {"logits": [*LOGITS, FIRST]},
        "There are logits of 3 prediction(s), expected 2 as the loss was made for. Give as many, "
        "or make it with predictions=3.",
    ),
    "deep supervision": (
        {"logits": [[FIRST], [SECOND]]},
        "Logits are of type list, expected a tensor for each prediction. Of a network with several "
        "outputs, give the one at full resolution.",
    ),
    "1D": (
        {"logits": [x[..., 0, 0] for x in LOGITS]},
        "Logits are float32 of shape (2, 3, 4), expected floating (B, C, Z, Y, X) or "
        "(B, C, Y, X). Give the networks' raw output for a batch.",
    ),
    "4D": (
        {"logits": [x[..., None] for x in LOGITS]},
        "Logits are float32 of shape (2, 3, 4, 5, 6, 1), expected floating (B, C, Z, Y, X) or "
        "(B, C, Y, X). Give the networks' raw output for a batch.",
    ),
    "integer logits": (
        {"logits": [x.long() for x in LOGITS]},
        "Logits are int64 of shape (2, 3, 4, 5, 6), expected floating (B, C, Z, Y, X) or "
        "(B, C, Y, X). Give the networks' raw output for a batch.",
    ),
    "one class": (
        {"logits": [x[:, :1] for x in LOGITS]},
        "Logits have 1 class(es) in axis 1, expected 2 to 255. Give one channel per class, the "
        "background included.",
    ),
    "no voxel": (
        {"logits": [x[:0] for x in LOGITS], "label": LABEL[:0]},
        "Logits have shape (0, 3, 4, 5, 6), expected at least one voxel. Leave empty batches out.",
    ),
}

LABELS = {
    "a class too high": (
        {"label": LABEL.clamp(min=0) + 1},
        "Labels reach from 1 to 3, expected -1 (no label) to 2. Change the labels, or give "
        "networks and loss more classes.",
    ),
    "below -1": (
        {"label": LABEL - 1},
        "Labels reach from -2 to 1, expected -1 (no label) to 2. Change the labels, or give "
        "networks and loss more classes.",
    ),
    "255 in a uint8 label": (
        {"label": LABEL.to(torch.uint8)},
        "Labels reach from 0 to 255, expected -1 (no label) to 2. If 255 is no label, write "
        "label.short().masked_fill(label == 255, -1).",
    ),
    "channel axis": (
        {"label": LABEL[:, None]},
        "Label has shape (2, 1, 4, 5, 6), expected (2, 4, 5, 6) (B, *spatial) of the logits. Take "
        "the channel axis away with .squeeze(1).",
    ),
    "one-hot": (
        {"label": one_hot(LABEL).movedim(-1, 1)},
        "Label has shape (2, 3, 4, 5, 6), expected (2, 4, 5, 6) (B, *spatial) of the logits. If "
        "it is one-hot, give class numbers: .argmax(dim=1).",
    ),
    "one-hot, classes last": (
        {"label": one_hot(LABEL)},
        "Label has shape (2, 4, 5, 6, 3), expected (2, 4, 5, 6) (B, *spatial) of the logits. If "
        "it is one-hot, give class numbers: .argmax(dim=-1).",
    ),
    "labeled items only": (
        {"label": LABEL[:1]},
        "Label has shape (1, 4, 5, 6), expected (2, 4, 5, 6) (B, *spatial) of the logits. Give one "
        "for every item of the batch, the unlabeled ones too.",
    ),
    "another crop": (
        {"label": LABEL[..., 1:]},
        "Label has shape (2, 4, 5, 5), expected (2, 4, 5, 6) (B, *spatial) of the logits. Crop "
        "image and label alike.",
    ),
    "float": (
        {"label": LABEL.float()},
        "Label is float32, expected integers (uint8, int8 to int64). Convert it with .long(), -1 "
        "where there is no label.",
    ),
    "uint16": (
        {"label": LABEL.clamp(min=0).to(torch.uint16)},
        "Label is uint16, expected integers (uint8, int8 to int64). Convert it with .long(), -1 "
        "where there is no label.",
    ),
    "numpy": (
        {"label": LABEL.numpy()},
        "Label is of type ndarray, expected a tensor. Convert it with torch.as_tensor, on the "
        "device of the logits.",
    ),
    "none at all": (
        {"label": None},
        "Label is None, expected a tensor. Convert it with torch.as_tensor, on the device of the "
        "logits.",
    ),
    "another device": (
        {"label": LABEL.to("meta")},
        "Label is on meta, expected cpu as the logits. Move it with .to(logits.device).",
    ),
    "no labeled voxel": (
        {"label": torch.full_like(LABEL, -1)},
        "The batch has 0 labeled voxels, expected at least 1 for the supervised loss. Put a "
        "labeled or corrected item into every batch.",
    ),
    "all labels in the padding": (
        {"valid": LABEL < 0},
        "The batch has 0 labeled voxels, expected at least 1 for the supervised loss. Put a "
        "labeled or corrected item into every batch.",
    ),
}

MASKS = {
    "corrections of another shape": (
        {"corrected": torch.ones(3, dtype=torch.bool)},
        "Corrected mask has shape (3,), expected (2, 4, 5, 6) (B, *spatial) of the logits. Crop "
        "image and label alike.",
    ),
    "corrections as numbers": (
        {"corrected": (LABEL >= 0).float()},
        "Corrected mask is float32, expected bool. Convert it with .bool().",
    ),
    "corrections on another device": (
        {"corrected": (LABEL >= 0).to("meta")},
        "Corrected mask is on meta, expected cpu as the logits. Move it with .to(logits.device).",
    ),
    "padding of another shape": (
        {"valid": torch.ones((2, 1, *SHAPE), dtype=torch.bool)},
        "Valid mask has shape (2, 1, 4, 5, 6), expected (2, 4, 5, 6) (B, *spatial) of the logits. "
        "Take the channel axis away with .squeeze(1).",
    ),
    "padding as bytes": (
        {"valid": torch.ones_like(LABEL, dtype=torch.uint8)},
        "Valid mask is uint8, expected bool. Convert it with .bool().",
    ),
}

SETTINGS = {
    **{
        f"consistency {value!r}": (
            {"consistency": value},
            f"Consistency is {value!r}, expected a finite number of at least 0. Use 0 for a step "
            "without the heterogeneous loss.",
        )
        for value in (-0.1, math.nan, math.inf, None, "0.1")
    },
    "a link beyond the predictions": (
        {"links": (Link(0, 2),)},
        "Link(prediction=0, reference=2) is beyond the last prediction, expected numbers from 0 "
        "to 1. Change the link, or make the loss with more predictions.",
    ),
    "no links": (
        {"links": ()},
        "There are no links, expected at least one. Use SYMMETRIC, ONE_SIDED or links of your own.",
    ),
    "a link alone": (
        {"links": Link(0, 1)},
        "Links are Link(prediction=0, reference=1), expected a sequence of Link. Write "
        "links=(Link(0, 1),).",
    ),
    "pairs of numbers": (
        {"links": ((0, 1),)},
        "Links are ((0, 1),), expected a sequence of Link. Write links=(Link(0, 1),).",
    ),
}


def cases(*tables):
    """All mistakes of the tables, each under its name."""
    return [
        pytest.param(change, sentence, id=name)
        for table in tables
        for name, (change, sentence) in table.items()
    ]


@pytest.mark.parametrize(("change", "sentence"), cases(SHAPES, LABELS, MASKS, SETTINGS))
def test_a_batch_that_does_not_fit_is_named_and_leaves_no_trace(change, sentence):
    loss = MetaSSLLoss(3)
    with pytest.raises(MetaSSLError) as caught:
        loss(**({"logits": LOGITS, "label": LABEL} | change))
    assert str(caught.value) == sentence
    assert torch.equal(loss.thresholds.stored, MetaSSLLoss(3).thresholds.stored)


REMEDY = "Lower the learning rate, or train in full precision."


@pytest.mark.parametrize("channel", [0, 1, 2])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_one_logit_that_is_not_finite_is_noticed(value, channel):
    loss = MetaSSLLoss(3)
    with pytest.raises(NotFiniteError) as caught:
        loss([with_one(value, FIRST, channel), SECOND], LABEL)
    assert str(caught.value) == (
        "The loss of prediction 0 is nan, expected a finite number: its logits hold NaN or "
        f"infinity. {REMEDY}"
    )
    assert torch.equal(loss.thresholds.stored, MetaSSLLoss(3).thresholds.stored)


@pytest.mark.parametrize("links", [ONE_SIDED, (Link(0, 1), Link(0, 2)), (Link(0, 2),)])
def test_a_teacher_that_is_not_finite_is_noticed_though_the_loss_is_finite(links):
    teacher = links[-1].reference
    logits = [FIRST, SECOND, SECOND][: teacher + 1]
    logits[teacher] = with_one(math.nan, SECOND)
    loss = MetaSSLLoss(3, predictions=len(logits))
    with pytest.raises(NotFiniteError) as caught:
        loss(logits, LABEL, links=links)
    assert str(caught.value) == (
        f"Logits of prediction {teacher}, which prediction 0 learns from, hold NaN or infinity, "
        f"expected finite ones. {REMEDY}"
    )
    assert loss.thresholds.stored.isfinite().all()


def test_a_class_ruled_out_by_minus_infinity_is_no_mistake():
    logits = [torch.cat([x, torch.full_like(x[:, :1], -math.inf)], dim=1) for x in LOGITS]
    assert MetaSSLLoss(4)(logits, LABEL).total.isfinite()


@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]
)
def test_labels_of_any_such_integers_mean_the_same(dtype):
    label = LABEL.clamp(0, 1)
    expected = MetaSSLLoss(3)(LOGITS, label).total
    assert torch.equal(MetaSSLLoss(3)(LOGITS, label.to(dtype)).total, expected)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        *(
            (
                {"classes": classes},
                f"The loss was asked for {classes} classes, expected 2 to 255. Give the number of "
                "the networks' output channels, the background included.",
            )
            for classes in (1, 256, -1, 2.5)
        ),
        (
            {"classes": 2, "predictions": 0},
            "The loss was asked for 0 predictions, expected at least 1. Give the number of logits "
            "of every batch.",
        ),
        (
            {"classes": 2, "config": {"uniform_weight": 1.0}},
            "The loss's settings are of type dict, expected a LossConfig. Make one with "
            "LossConfig(...).",
        ),
    ],
)
def test_a_loss_that_cannot_be_made_says_why(arguments, sentence):
    with pytest.raises(MetaSSLError) as caught:
        MetaSSLLoss(**arguments)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("numbers", [(0, 0), (0, -1), (-1, None), (0, 1.0)])
def test_a_link_needs_two_different_predictions(numbers):
    with pytest.raises(MetaSSLError) as caught:
        Link(*numbers)
    assert str(caught.value) == (
        f"Link(prediction={numbers[0]}, reference={numbers[1]}) is no link, expected the numbers "
        "of two different predictions, from 0. Use Link(0, 1) where the second prediction teaches "
        "the first."
    )


@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf])
def test_negative_weights_are_refused(weight):
    with pytest.raises(ValueError) as caught:
        RegionWeights(uc=1, us=1, dc=weight, ds=1)
    assert (
        f"Weight of region DC is {weight}, expected a number of at least 0. Use 0 to leave a "
        "region out." in str(caught.value)
    )


@pytest.mark.parametrize(
    ("logits", "words"),
    [
        (torch.zeros(2, 3, 4), "expected floating"),
        (torch.zeros(1, 2, 4, 4, 4, dtype=torch.int64), "expected floating"),
        (torch.zeros(1, 1, 4, 4, 4), "1 class"),
        (torch.zeros(1, 2, 0, 4, 4), "expected at least one voxel"),
    ],
)
def test_what_is_not_logits_gets_no_regions_either(logits, words):
    with pytest.raises(MetaSSLError, match=words):
        read_prediction(logits)


def test_thresholds_of_other_classes_are_refused():
    with pytest.raises(MetaSSLError) as caught:
        AdaptiveThresholds(classes=3).load_state_dict(AdaptiveThresholds(classes=2).state_dict())
    assert str(caught.value) == (
        "Stored thresholds have shape (2, 2, 2), expected (2, 2, 3) (predictions, "
        "unlabeled/labeled, classes). Continue with the strategy and the classes the run was "
        "started with."
    )


# Volumes, and where they meet networks and card


IMAGE = np.linspace(-1, 1, 16**3, dtype=np.float32).reshape(1, 16, 16, 16)
TRUTH = (IMAGE[0] > 0).astype(np.int16)
LABELED = TrainingVolume("p1", IMAGE, TRUTH)
UNLABELED = TrainingVolume("p2", IMAGE)


def net(classes: int = 2, dims: int = 3) -> nn.Module:
    return UNet(dims, 1, classes, (4, 8), (2,))


def train(volumes, validation=(), networks=None, classes=2) -> None:
    config = TrainingConfig(steps=1, patch_size=(16, 16, 16), batch_labeled=1, device="cpu")
    pair = networks or (net(), net())
    list(Trainer(pair, volumes, config, classes=classes, validation=validation).steps())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"volumes": []}, "There are no training volumes, expected at least one labeled one."),
        (
            {"volumes": [UNLABELED, UNLABELED]},
            "None of the 2 training volumes has a labeled voxel, expected at least one. Label a "
            "volume or correct some voxels first.",
        ),
        (
            {"volumes": [TrainingVolume("p3", IMAGE, np.full_like(TRUTH, -1))]},
            "None of the 1 training volumes has a labeled voxel, expected at least one. Label a "
            "volume or correct some voxels first.",
        ),
        (
            {"volumes": [LABELED], "validation": [UNLABELED]},
            "Validation volume 'p2' has no labels, expected a labeled one. Label it or use it as "
            "an unlabeled training volume.",
        ),
        (
            {"volumes": [LABELED, TrainingVolume("p3", np.concatenate([IMAGE, IMAGE]))]},
            "'p3' has 2 channel(s) but the networks take 1. Give each volume as many channels as "
            "the pair was made for.",
        ),
        (
            {"volumes": [TrainingVolume("p3", IMAGE, TRUTH + 3)]},
            "Labels of 'p3' reach from 3 to 4, expected -1 (no label) to 1. Give the pair more "
            "classes or change the labels.",
        ),
        (
            {"volumes": [LABELED], "validation": [TrainingVolume("p3", IMAGE, 2 * TRUTH)]},
            "Labels of 'p3' reach from 0 to 2, expected -1 (no label) to 1. Give the pair more "
            "classes or change the labels.",
        ),
        (
            {"volumes": [TrainingVolume("p3", IMAGE * np.float32("nan"), TRUTH)]},
            "Image of 'p3' holds NaN or infinite values, expected finite ones. Replace them before "
            "training.",
        ),
        (
            {"volumes": [LABELED], "networks": (net(3), net(3))},
            "Logits have 3 classes, expected 2 as the loss was made for. Make the loss for as many "
            "classes as the networks give.",
        ),
        (
            {"volumes": [LABELED], "networks": (net(2), net(3))},
            "Logits of prediction 1 are of shape (1, 3, 16, 16, 16) on cpu, expected of shape "
            "(1, 2, 16, 16, 16) on cpu as those of prediction 0. Give all networks the same input "
            "and the same classes.",
        ),
    ],
)
def test_what_cannot_be_trained_on_is_named(arguments, sentence):
    with pytest.raises(MetaSSLError) as caught:
        train(**arguments)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"image": IMAGE[0]},
            "Image of 'v' has shape (16, 16, 16), expected (channels, Z, Y, X). Add the channel "
            "axis with image[None].",
        ),
        (
            {"label": TRUTH[1:]},
            "Labels of 'v' have shape (15, 16, 16) but the image has (16, 16, 16). Bring both to "
            "the same grid first.",
        ),
        (
            {"corrected": TRUTH[1:] > 0},
            "Corrections of 'v' have shape (15, 16, 16) but the image has (16, 16, 16). Bring both "
            "to the same grid first.",
        ),
        (
            {"corrected": TRUTH > 0},
            "'v' has corrected voxels but no labels. Give the labels of the corrected voxels, -1 "
            "elsewhere.",
        ),
    ],
)
def test_a_volume_that_does_not_fit_itself_is_refused(change, sentence):
    with pytest.raises(MetaSSLError) as caught:
        TrainingVolume(**({"name": "v", "image": IMAGE} | change))
    assert str(caught.value) == sentence


def config(classes: int, dims: int = 3) -> NetworkConfig:
    options = {"channels": (4, 8), "strides": (2,)}
    return NetworkConfig(architecture="UNet", spatial_dims=dims, classes=classes, options=options)


def card(**changes) -> ModelCard:
    usual = {
        "name": "pair",
        "class_names": ("background", "organ"),
        "supervised": config(2),
        "reference": config(2),
        "patch_size": (16, 16, 16),
    }
    return ModelCard(**(usual | changes))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"class_names": ("background", "organ", "tumour")},
            "The card has 3 class names but its networks have 2 classes (background included); "
            "give one for each.",
        ),
        (
            {"thresholds": ((0.9, 0.9), (0.9, 0.9, 0.9))},
            "The card has 3 thresholds of the reference network but its networks have 2 classes "
            "(background included); give one for each.",
        ),
        (
            {"reference": config(3)},
            "The supervised network has classes 2 but the reference network has 3; both must have "
            "the same.",
        ),
    ],
)
def test_a_card_whose_parts_have_other_classes_is_refused(change, sentence):
    with pytest.raises(PairProblem) as caught:
        card(**change)
    assert str(caught.value) == sentence


def test_a_patch_of_other_axes_than_the_networks_is_refused():
    with pytest.raises(PairProblem) as caught:
        fit_patch_size((40, 64, 64), config(2, dims=2))
    assert str(caught.value) == (
        "The patch (40, 64, 64) has 3 sides, but UNet has 2 axes. Give one side for each."
    )


def test_a_pair_of_other_classes_than_the_project_is_not_fine_tuned(tmp_path):
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    geometry = Geometry.from_spacing((1.0, 1.0, 1.0), IMAGE[0].shape)
    write_volume(tmp_path / "images" / "v.nii.gz", IMAGE[0], geometry)
    write_labels(tmp_path / "labels" / "v.nii.gz", TRUTH.astype(np.uint8), geometry)
    project = Project.create(
        tmp_path, tmp_path / "images", labels=tmp_path / "labels", name="heart",
        class_names=["background", "organ", "tumour"],
    )  # fmt: skip
    save_pair(new_pair(card()), tmp_path / "pair")
    spec = FineTuneSpec(project=project.folder, parent=tmp_path / "pair", name="next")
    with pytest.raises(PairProblem) as caught:
        run_fine_tune(spec, run=None)  # it never comes to report anything
    assert str(caught.value) == (
        "Pair 'pair' has 2 classes but project 'heart' has 3; choose a pair trained on these "
        "classes."
    )

import json

import pytest
import torch

from napari_metassl.errors import PairProblem
from napari_metassl.method.network_config import (
    ARCHITECTURES,
    NetworkConfig,
    fit_patch_size,
    spatial_divisor,
)
from napari_metassl.method.networks import build_network
from napari_metassl.method.weights import load_weights, own_tensors

# The smallest each architecture can be made, so that all of them run within seconds.
SMALL = {
    "UNet": {"channels": (4, 8), "strides": (2,)},
    "BasicUNet": {"features": (4, 4, 4, 4, 4, 4)},
    "BasicUNetPlusPlus": {"features": (4, 4, 4, 4, 4, 4)},
    "DynUNet": {"filters": (4, 8, 8), "strides": (1, 2, 2)},
    "SegResNet": {"blocks_down": (1, 1)},
    "SegResNetDS": {"blocks_down": (1, 1)},
    "AttentionUnet": {"channels": (4, 8), "strides": (2,)},
    "SwinUNETR": {"depths": (1, 1, 1, 1), "num_heads": (1, 1, 1, 1), "window_size": 2},
    "UNETR": {"img_size": 16, "hidden_size": 12, "mlp_dim": 12, "num_heads": 2, "feature_size": 4},
    "FlexibleUNet": {"backbone": "resnet10", "decoder_channels": (8, 8, 8, 8, 8)},
    "MedNeXt": {"blocks_down": (1, 1), "blocks_bottleneck": 1, "init_filters": 4},
}


def small(architecture, spatial_dims=3, **fields):
    return NetworkConfig(
        architecture=architecture,
        spatial_dims=spatial_dims,
        classes=fields.pop("classes", 3),
        options=SMALL.get(architecture, {}),
        **fields,
    )


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_network_answers_with_one_channel_per_class(architecture, spatial_dims):
    config = small(architecture, spatial_dims, in_channels=2)
    network = build_network(config, seed=0)
    window = fit_patch_size((1,) * spatial_dims, config)
    images = torch.randn(2, 2, *window)
    assert network(images).shape == (2, 3, *window)  # in training as well as ...
    with torch.no_grad():
        assert network.eval()(images).shape == (2, 3, *window)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_configuration_is_json_and_comes_back_the_same(architecture):
    config = NetworkConfig(architecture=architecture, classes=4)
    again = NetworkConfig.model_validate(json.loads(config.model_dump_json()))
    assert again == config
    assert NetworkConfig(architecture=architecture, classes=4, options=config.options) == config


@pytest.mark.parametrize("size", [(16, 16, 16), (24, 16, 40)])
def test_network_really_needs_its_divisor(size):
    config = NetworkConfig(architecture="DynUNet", classes=2, options=SMALL["DynUNet"])
    network = build_network(config)
    assert spatial_divisor(config) == (4, 4, 4)
    assert network(torch.zeros(1, 1, *size)).shape[2:] == size
    with pytest.raises(RuntimeError):
        network(torch.zeros(1, 1, *(n + 2 for n in size)))


def test_divisor_follows_strides_per_axis_and_both_networks():
    flat = NetworkConfig(
        architecture="DynUNet", classes=2, options={"strides": (1, (1, 2, 2), (1, 2, 2), 2)}
    )
    unet = NetworkConfig(
        architecture="UNet", classes=2, options={"channels": (4, 8, 8), "strides": (3, 1)}
    )
    assert spatial_divisor(flat) == (2, 8, 8)
    assert spatial_divisor(flat, unet) == (6, 24, 24)
    assert fit_patch_size((20, 100, 24), flat, unet) == (24, 120, 24)
    window = fit_patch_size((1, 1, 1), flat)
    assert build_network(flat)(torch.zeros(1, 1, *window)).shape[2:] == window


def test_window_of_unetr_is_its_img_size():
    unetr, unet = small("UNETR"), small("UNet")
    assert fit_patch_size((50, 50, 50), unetr, unet) == (16, 16, 16)
    other = NetworkConfig(
        architecture="UNETR", classes=3, options={**SMALL["UNETR"], "img_size": 32}
    )
    with pytest.raises(PairProblem, match=r"give both the same img_size"):
        fit_patch_size((16, 16, 16), unetr, other)


def test_strides_follow_from_channels():
    config = NetworkConfig(architecture="UNet", classes=2, options={"channels": [4, 8, 8, 8, 8]})
    assert config.options["strides"] == (2, 2, 2, 2)
    assert build_network(config)(torch.zeros(1, 1, 32, 32, 32)).shape == (1, 2, 32, 32, 32)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"architecture": "ResNet"}, r"'ResNet' is not a network .* use one of UNet, BasicUNet"),
        ({"architecture": "os.system"}, r"'os.system' is not a network"),
        ({"options": {"chanels": [1]}}, r"UNet has no option 'chanels' .* channels"),
        ({"options": {"act": torch.nn.ReLU}}, r"Option 'act' is a type"),
        ({"options": {"channels": 16}}, r"one value per level"),
        ({"options": {"strides": ((2, 2), 2, 2)}}, r"do not give one size per level and axis"),
        ({"classes": 1}, r"classes: .* greater than or equal to 2"),
        ({"spatial_dims": 4}, r"spatial_dims: .* 2 or 3"),
    ],
)
def test_what_is_not_allowed_is_said_in_one_sentence(fields, sentence):
    with pytest.raises(PairProblem, match=sentence) as caught:
        NetworkConfig(**{"architecture": "UNet", "classes": 2, **fields})
    assert "\n" not in str(caught.value)


def test_options_the_class_refuses_are_said_with_its_reason():
    config = NetworkConfig(
        architecture="UNet", classes=2, options={"channels": (4, 8, 16), "strides": (2,)}
    )
    with pytest.raises(PairProblem, match=r"UNet .* cannot be built \(the length of `strides`"):
        build_network(config)


def test_seed_decides_the_weights_and_leaves_the_global_state():
    config = small("UNet")
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = (own_tensors(build_network(config, seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    name = next(iter(first))
    assert torch.equal(first[name], again[name])
    assert not torch.equal(first[name], other[name])


def test_weights_that_do_not_fit_are_named_and_nothing_is_loaded():
    network = build_network(small("UNet"), seed=0)
    before = own_tensors(network)
    weights = own_tensors(build_network(small("UNet", classes=4), seed=1))
    weights["stray"] = weights.pop(next(iter(weights)))
    with pytest.raises(PairProblem) as caught:
        load_weights(network, weights, "The weights in 'a.pt' and UNet")
    message = str(caught.value)
    assert "1 tensor is missing (model.0.conv.weight)" in message
    assert "1 tensor is extra (stray)" in message
    assert "of another shape" in message
    assert "instead of" in message
    after = own_tensors(network)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_shared_tensors_are_kept_once():
    network = build_network(small("DynUNet"), seed=0)
    weights = own_tensors(network)
    assert len(weights) < len(network.state_dict())
    copy = build_network(small("DynUNet"), seed=1)
    load_weights(copy, weights, "Shared")
    images = torch.randn(1, 1, 8, 8, 8)
    assert torch.equal(network(images), copy(images))
    load_weights(copy, network.state_dict(), "With both names")

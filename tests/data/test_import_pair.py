import json
import pickle

import pytest
import torch
from monai.networks import nets
from safetensors.torch import save_file

from napari_metassl.data.import_pair import (
    import_monai_bundle,
    import_state_dict,
    pair_from_networks,
)
from napari_metassl.data.model_card import ModelCard
from napari_metassl.data.model_pair import load_pair, save_pair
from napari_metassl.errors import PairProblem
from napari_metassl.method.network_config import NetworkConfig
from napari_metassl.method.networks import build_network

UNET = NetworkConfig(architecture="UNet", classes=2, options={"channels": (4, 8), "strides": (2,)})
IMAGES = torch.linspace(-1, 1, 16 * 16 * 32).reshape(1, 1, 16, 16, 32)


def monai_unet(**options):
    """The network as somebody else made it, straight from MONAI."""
    return nets.UNet(
        **{
            "spatial_dims": 3, "in_channels": 1, "out_channels": 2, "channels": (4, 8),
            "strides": (2,), **options,
        }
    )  # fmt: skip


def assert_same_answer(imported, original):
    with torch.no_grad():
        assert torch.equal(imported(IMAGES), original.eval()(IMAGES))


def prefixed(weights, prefix):
    return {prefix + name: tensor for name, tensor in weights.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda w: w,
        lambda w: {"state_dict": w, "epoch": 7},
        lambda w: {"model": w, "optimizer": {"state": {}}},
        lambda w: {"network_weights": prefixed(w, "_orig_mod.")},
        lambda w: prefixed(w, "module."),
        lambda w: {"state_dict": {**prefixed(w, "net."), "loss.weight": torch.ones(2)}},
        lambda w: prefixed(w, "module._orig_mod.net."),
        lambda w: prefixed(w, "model."),  # MONAI's own UNet names begin with it, too
    ],
)
def test_state_dict_is_found_under_keys_and_prefixes(tmp_path, wrap):
    original = monai_unet()
    torch.save(wrap(original.state_dict()), tmp_path / "weights.pt")
    imported = import_state_dict(tmp_path / "weights.pt", UNET)
    assert_same_answer(imported, original)
    assert not imported.training


def test_safetensors_are_read_too(tmp_path):
    original = monai_unet()
    save_file(original.state_dict(), tmp_path / "weights.safetensors")
    assert_same_answer(import_state_dict(tmp_path / "weights.safetensors", UNET), original)


def test_training_heads_of_dynunet_are_left_out(tmp_path):
    common = {"kernel_size": (3,) * 4, "strides": (1, 2, 2, 2), "filters": (4, 8, 8, 8)}
    original = nets.DynUNet(
        3, 1, 2, upsample_kernel_size=(2, 2, 2), deep_supervision=True, deep_supr_num=2, **common
    )
    torch.save(original.state_dict(), tmp_path / "dyn.pt")
    config = NetworkConfig(architecture="DynUNet", classes=2, options=common)
    assert_same_answer(import_state_dict(tmp_path / "dyn.pt", config), original)


class RunsCode:
    """Makes a file "was-run" in the working directory when it is unpickled."""

    def __reduce__(self):
        return (open, ("was-run", "w"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (lambda p: torch.save(monai_unet(), p), "holds Python objects, not only tensors"),
        (lambda p: torch.save({"state_dict": RunsCode()}, p), "holds Python objects"),
        (lambda p: p.write_bytes(pickle.dumps(RunsCode())), "holds Python objects|is damaged"),
        (lambda p: p.write_bytes(b"hello"), "holds Python objects|is damaged"),
        (lambda p: p.write_bytes(b""), "is damaged"),
        (lambda p: None, "There is no file"),
        (lambda p: torch.save([1, 2], p), "holds no tensors by name"),
        (lambda p: torch.save({"epoch": 3}, p), "holds no tensors by name"),
        (
            lambda p: torch.save(monai_unet(out_channels=5).state_dict(), p),
            r"and UNet do not fit: .* of another shape",
        ),
        (
            lambda p: torch.save(monai_unet(num_res_units=2).state_dict(), p),
            r"tensors are missing .* extra .* the weights were trained with",
        ),
    ],
)
def test_what_cannot_be_imported_is_said_in_one_sentence(tmp_path, monkeypatch, content, sentence):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pt"
    content(path)
    with pytest.raises(PairProblem, match=sentence) as caught:
        import_state_dict(path, UNET)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "was-run").exists()


def test_truncated_state_dict_is_refused(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save(monai_unet().state_dict(), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(PairProblem, match="is damaged"):
        import_state_dict(path, UNET)


def write_bundle(folder, network, config, file="inference.json", metadata=None):
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    text = config if isinstance(config, str) else json.dumps(config)
    (folder / "configs" / file).write_text(text)
    if metadata is not None:
        (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    if network is not None:
        torch.save(network.state_dict(), folder / "models" / "model.pt")
    return folder


DEFINITION = {
    "_target_": "UNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 2,
    "channels": [4, 8],
    "strides": [2],
    "num_res_units": 2,
    "norm": "batch",
}
CHANNELS = {"0": "background", "1": "spleen"}
METADATA = {"network_data_format": {"outputs": {"pred": {"channel_def": CHANNELS}}}}


def test_bundle_with_a_plain_definition(tmp_path):
    original = monai_unet(num_res_units=2, norm="batch")
    config = {
        "imports": ["$import glob"],
        "device": "$torch.device('cuda:0')",
        "network_def": DEFINITION,
        "network": "$@network_def.to(@device)",
    }
    bundle = import_monai_bundle(write_bundle(tmp_path / "b", original, config, metadata=METADATA))
    assert bundle.config.architecture == "UNet"
    assert bundle.config.classes == 2
    assert bundle.class_names == ("background", "spleen")
    assert_same_answer(bundle.network, original)


def test_bundle_with_references_in_yaml(tmp_path):
    original = monai_unet(num_res_units=2, norm="batch")
    text = """
dims: 3
sizes: {channels: [4, 8], strides: [2]}
outputs: [1, 2]
network:
  _target_: monai.networks.nets.UNet
  spatial_dims: "@dims"
  in_channels: "@outputs#0"
  out_channels: "@outputs::1"
  channels: "@sizes#channels"
  strides: "@sizes#strides"
  num_res_units: 2
  norm: batch
"""
    bundle = import_monai_bundle(write_bundle(tmp_path / "b", original, text, "train.yaml"))
    assert_same_answer(bundle.network, original)
    assert bundle.class_names is None


@pytest.mark.parametrize(
    ("definition", "original"),
    [
        (
            {"_target_": "SegResNet", "blocks_down": [1, 2, 2, 4], "blocks_up": [1, 1, 1],
             "init_filters": 16, "in_channels": 1, "out_channels": 2, "dropout_prob": 0.2},
            lambda: nets.SegResNet(init_filters=16),
        ),
        # What the bundle leaves out is MONAI's default, not this project's smaller one.
        ({"_target_": "BasicUNet", "out_channels": 2}, nets.BasicUNet),
        (
            {"_target_": "DynUNet", "spatial_dims": 3, "in_channels": 1, "out_channels": 2,
             "kernel_size": [3, 3, 3], "strides": [1, 2, 2], "upsample_kernel_size": [2, 2],
             "norm_name": "INSTANCE", "deep_supervision": True, "deep_supr_num": 1},
            lambda: nets.DynUNet(
                3, 1, 2, (3, 3, 3), (1, 2, 2), (2, 2), norm_name="INSTANCE", deep_supervision=True
            ),
        ),
    ],
)  # fmt: skip
def test_bundles_of_other_networks(tmp_path, definition, original):
    network = original()
    folder = write_bundle(tmp_path / "b", network, {"network_def": definition})
    assert_same_answer(import_monai_bundle(folder).network, network)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"network_def": {**DEFINITION, "_target_": "os.system"}}, r"'os.system', which is not"),
        ({"network_def": {**DEFINITION, "_target_": "evil.UNet"}}, r"'evil.UNet', which is not"),
        ({"network_def": {**DEFINITION, "_target_": "ResNet"}}, r"must be one of MONAI's UNet"),
        ({"network_def": {**DEFINITION, "_target_": "$nets.UNet"}}, r"with the expression"),
        ({"network_def": {**DEFINITION, "strides": "$[2] * 1"}}, r"expression '\$\[2\] \* 1'"),
        ({"network_def": {**DEFINITION, "strides": "@nowhere#1"}}, r"'@nowhere#1', which is not"),
        ({"a": "@a", "network_def": {**DEFINITION, "strides": "@a"}}, r"which is not run"),
        ({"network_def": {**DEFINITION, "out_channels": 1}}, r"one output channel \(a sigmoid\)"),
        ({"network_def": {**DEFINITION, "magic": 3}}, r"UNet has no option 'magic'"),
        ({"network": "$import_network()"}, r"not a MONAI bundle with a plain network definition"),
        ("{", r"cannot be read"),
        ([1], r"not a MONAI bundle"),
        ({"network_def": {**DEFINITION, "channels": [8, 16]}}, r"do not fit"),
    ],
)
def test_bundle_that_is_refused_is_told_why(tmp_path, config, sentence):
    original = monai_unet(num_res_units=2, norm="batch")
    folder = write_bundle(tmp_path / "b", original, config)
    with pytest.raises(PairProblem, match=sentence):
        import_monai_bundle(folder)


def test_bundle_without_weights_or_without_anything(tmp_path):
    folder = write_bundle(tmp_path / "b", None, {"network_def": DEFINITION})
    with pytest.raises(PairProblem, match=r"no models/model.pt. Download"):
        import_monai_bundle(folder)
    with pytest.raises(PairProblem, match="not a MONAI bundle"):
        import_monai_bundle(tmp_path)


def pair_card(**fields):
    return ModelCard(
        **{
            "name": "imported", "class_names": ("background", "spleen"), "supervised": UNET,
            "reference": UNET, "patch_size": (16, 16, 32), **fields,
        }
    )  # fmt: skip


def test_imported_networks_become_a_pair_that_is_saved_and_loaded(tmp_path):
    a, b = build_network(UNET, 0), build_network(UNET, 1)
    save_pair(pair_from_networks(pair_card(), a, b), tmp_path / "pair")
    loaded = load_pair(tmp_path / "pair")
    assert_same_answer(loaded.supervised, a)
    assert_same_answer(loaded.reference, b)


def test_same_network_twice_becomes_two_that_train_apart():
    network = build_network(UNET, 0)
    pair = pair_from_networks(pair_card(), network, network)
    assert_same_answer(pair.supervised, pair.reference)
    with torch.no_grad():
        next(pair.supervised.parameters()).add_(1)
    assert not torch.equal(pair.supervised(IMAGES), pair.reference(IMAGES))
    assert_same_answer(pair.reference, network)


def test_network_that_is_not_the_cards_is_refused():
    other = NetworkConfig(architecture="BasicUNet", classes=2)
    with pytest.raises(PairProblem, match="card's BasicUNet do not fit"):
        pair_from_networks(pair_card(reference=other), build_network(UNET), build_network(UNET))

import copy

import numpy as np
import pytest
import torch
from torch import nn

from napari_metassl.method.inference import predict_pair
from napari_metassl.method.network_config import NetworkConfig
from napari_metassl.method.networks import build_network
from napari_metassl.method.review_views import PLAIN, PLAIN_PAIR, View, review_views
from napari_metassl.method.training_volume import TrainingVolume
from napari_metassl.method.validation import merged_answer

PATCH = (8, 8, 8)
SAME_IMAGE = ["cps", "mean_teacher", "cct", "of another program"]


def unet(seed=0, dropout=0.3, channels=1):
    config = NetworkConfig(
        architecture="UNet",
        classes=3,
        in_channels=channels,
        options={"channels": (4, 8), "strides": (2,), "dropout": dropout, "norm": "batch"},
    )
    return build_network(config, seed)


def image(*shape, channels=1, seed=0):
    return np.random.default_rng(seed).normal(size=(channels, *shape)).astype(np.float32)


def predict(networks, volume, strategy, **changes):
    settings = {"patch_size": PATCH, "device": "cpu", "views": review_views(strategy)}
    return predict_pair(networks, volume, **(settings | changes))


def assert_same(first, second):
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


class Recorder(nn.Module):
    """Two classes, the second where the intensity is above 0; remembers what it was shown."""

    def __init__(self):
        super().__init__()
        self.shown = []

    def forward(self, x):
        self.shown.append(x.clone())
        return torch.cat([-x[:, :1], x[:, :1]], dim=1)


@pytest.mark.parametrize("strategy", ["r_drop", "fixmatch"])
def test_two_copies_of_one_network_disagree_for_review_and_not_plainly(strategy):
    network, volume = unet(), image(12, 16, 16)
    pair = [network, copy.deepcopy(network)]
    labels, _ = predict(pair, volume, strategy)
    assert 0.001 < np.mean(labels[0] != labels[1]) < 0.7
    plain, levels = predict(pair, volume, strategy, views=None)
    np.testing.assert_array_equal(plain[0], plain[1])
    np.testing.assert_array_equal(levels[0], levels[1])


@pytest.mark.parametrize("strategy", ["r_drop", "fixmatch"])
def test_the_same_pair_and_volume_always_give_the_same(strategy):
    network, volume = unet(), image(12, 16, 16)
    torch.manual_seed(1)
    first = predict([network, network], volume, strategy, batch=1)
    torch.manual_seed(2)
    assert_same(first, predict([network, network], volume, strategy, batch=1))
    assert_same(first, predict([network, copy.deepcopy(network)], volume, strategy, batch=1))


def test_dropout_does_not_depend_on_the_windows_fed_together():
    network, volume = unet(), image(12, 16, 16)
    one = predict([network, network], volume, "r_drop", batch=1)
    assert_same(one, predict([network, network], volume, "r_drop", batch=5))


def test_one_mask_for_all_windows_of_a_pass():
    network = nn.Sequential(nn.Dropout3d(0.5), nn.Conv3d(8, 3, 1))
    one_window = image(*PATCH, channels=8)
    volume = np.concatenate([one_window] * 3, axis=3)
    labels, _ = predict([network, network], volume, "r_drop", overlap=0.0, batch=2)
    np.testing.assert_array_equal(labels[..., :8], labels[..., 8:16])
    np.testing.assert_array_equal(labels[..., :8], labels[..., 16:])
    assert (labels[0] != labels[1]).any()


@pytest.mark.parametrize("strategy", ["r_drop", "fixmatch"])
def test_2d_networks_have_views_too(strategy):
    config = NetworkConfig(
        architecture="UNet",
        spatial_dims=2,
        classes=2,
        options={"channels": (4, 8), "strides": (2,), "dropout": 0.3},
    )
    network, volume = build_network(config, 0), image(5, 16, 16)
    first = predict([network, network], volume, strategy, patch_size=(16, 16), batch=4)
    assert (first[0][0] != first[0][1]).any()
    if strategy == "r_drop":
        assert_same(
            first, predict([network, network], volume, strategy, patch_size=(16, 16), batch=1)
        )


@pytest.mark.parametrize("strategy", ["r_drop", "fixmatch"])
def test_random_state_is_left_as_it_was(strategy):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    predict([unet(), unet()], image(*PATCH), strategy)
    assert torch.equal(torch.get_rng_state(), before)


def test_only_dropout_is_in_training_mode_and_only_while_predicting():
    network, modes = unet(), []

    def note(module, given):
        kinds = (nn.Dropout, nn.BatchNorm3d)
        modes.extend((type(m), m.training) for m in network.modules() if isinstance(m, kinds))

    next(m for m in network.modules() if isinstance(m, nn.Conv3d)).register_forward_pre_hook(note)
    statistics = copy.deepcopy(dict(network.named_buffers()))
    network.eval()
    predict([network, network], image(*PATCH), "r_drop")
    assert set(modes) == {(nn.Dropout, True), (nn.BatchNorm3d, False)}
    assert not any(module.training for module in network.modules())
    for name, buffer in network.named_buffers():
        assert torch.equal(buffer, statistics[name]), name


@pytest.mark.parametrize("strategy", SAME_IMAGE)
def test_other_strategies_are_reviewed_as_without_views(strategy):
    networks, volume = [unet(0), unet(1)], image(12, 16, 16)
    assert review_views(strategy) == PLAIN_PAIR
    assert_same(predict(networks, volume, strategy), predict(networks, volume, "", views=None))


def test_plain_networks_given_twice_are_asked_once_and_views_each():
    network = Recorder()
    predict([network, network], image(*PATCH), "cps")
    assert len(network.shown) == 1
    predict([network, network], image(*PATCH), "fixmatch")
    assert len(network.shown) == 3


def test_same_network_with_the_same_view_is_asked_once():
    network = Recorder()
    strong, _ = review_views("fixmatch")
    labels, _ = predict([network, network], image(*PATCH), "", views=[strong, strong])
    assert len(network.shown) == 1
    np.testing.assert_array_equal(labels[0], labels[1])


def test_dropout_of_one_view_does_not_reach_the_next():
    network, volume = unet(), image(*PATCH)
    mixed = predict([network, network], volume, "", views=[View(dropout=True), PLAIN])
    plain = predict([network], volume, "", views=None)
    np.testing.assert_array_equal(mixed[1][1], plain[1][0])
    assert (mixed[1][0] != plain[1][0]).any()


def test_fixmatch_shows_the_strong_view_to_the_first_network_alone():
    first, second, volume = Recorder(), Recorder(), image(8, 8, 16, channels=2)
    predict([first, second], volume, "fixmatch", overlap=0.5, batch=1)
    windows = [torch.from_numpy(volume[..., at : at + 8]) for at in (0, 4, 8)]
    for shown, window in zip(second.shown, windows, strict=True):
        assert torch.equal(shown[0], window)
    for shown, window in zip(first.shown, windows, strict=True):
        assert shown.shape == (1, 2, *PATCH)
        assert (shown[0] - window).abs().mean() > 0.1
        for channel in range(2):  # the same place is still recognised
            both = torch.stack([shown[0, channel].flatten(), window[channel].flatten()])
            assert torch.corrcoef(both)[0, 1] > 0.8
    left, middle, right = (shown[0] for shown in first.shown)  # overlapping windows agree
    assert torch.equal(left[..., 4:], middle[..., :4])
    assert torch.equal(middle[..., 4:], right[..., :4])


def test_air_stays_background_under_noise():
    volume = np.zeros((1, 8, 8, 32), np.float32)
    volume[..., :8] = image(*PATCH)[0] + 5
    network = Recorder()
    labels, _ = predict([network, network], volume, "fixmatch", overlap=0.0, batch=1)
    assert len(network.shown) == 2  # the one window with something, by both views
    assert labels[..., 8:].max() == 0


def test_volume_smaller_than_the_window_and_another_grid():
    labels, _ = predict(
        [unet(), unet()], image(5, 8, 6), "fixmatch", output_shape=(10, 8, 12), batch=1
    )
    assert labels.shape == (2, 10, 8, 12)


def test_validation_while_training_is_plain_and_asks_one_network_once():
    network = Recorder()
    volume = TrainingVolume("v", image(*PATCH), label=np.zeros(PATCH, np.uint8))
    torch.manual_seed(5)
    answer = merged_answer([network, network], volume, PATCH, "cpu")
    assert len(network.shown) == 1
    np.testing.assert_array_equal(answer, volume.image[0] > 0)


def test_one_view_for_each_network():
    with pytest.raises(ValueError, match="zip"):
        predict([unet()], image(*PATCH), "r_drop", views=[PLAIN, View(dropout=True)])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
@pytest.mark.parametrize("strategy", ["r_drop", "fixmatch"])
def test_on_cuda_it_is_always_the_same_and_the_random_states_are_left(strategy):
    network, volume = unet(), image(12, 16, 16)
    torch.manual_seed(1)
    before = torch.get_rng_state(), torch.cuda.get_rng_state()
    first = predict([network, network], volume, strategy, device="cuda", batch=2)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.equal(torch.cuda.get_rng_state(), before[1])
    torch.manual_seed(2)
    assert_same(first, predict([network, network], volume, strategy, device="cuda", batch=2))
    assert (first[0][0] != first[0][1]).any()

import numpy as np
import pytest
import torch
from monai.data.utils import compute_importance_map
from monai.inferers import sliding_window_inference
from torch import nn

from napari_metassl.errors import Cancelled, PairProblem
from napari_metassl.method.confidence import (
    LEVEL_CONFIDENCE,
    confidence_to_level,
    level_to_confidence,
)
from napari_metassl.method.inference import predict_pair
from napari_metassl.method.network_config import NetworkConfig
from napari_metassl.method.networks import build_network
from napari_metassl.method.placing import first_placing, pick_device

CPU = torch.device("cpu")


class Intensity(nn.Module):
    """Logits that depend on the voxel's own intensity alone: the answer is known everywhere."""

    def __init__(self, slope=1.0, classes=2):
        super().__init__()
        self.slope = slope
        self.classes = classes
        self.batches = []

    def forward(self, x):
        self.batches.append(len(x))
        steps = torch.arange(self.classes).view(1, -1, *[1] * (x.ndim - 2))
        return self.slope * steps * x[:, :1]


def unet(seed, spatial_dims=3, classes=3):
    config = NetworkConfig(
        architecture="UNet",
        spatial_dims=spatial_dims,
        classes=classes,
        options={"channels": (4, 8), "strides": (2,)},
    )
    return build_network(config, seed)


def random_image(*shape, channels=1, seed=0):
    return np.random.default_rng(seed).normal(size=(channels, *shape)).astype(np.float32)


def assert_same_prediction(predicted, probabilities):
    """Labels and levels of one network against probabilities (C, Z, Y, X)."""
    labels, levels = predicted
    confidence, expected = probabilities.max(dim=0)
    top = probabilities.topk(2, dim=0).values
    clear = (top[0] - top[1] > 1e-4).numpy()
    assert clear.mean() > 0.95
    np.testing.assert_array_equal(labels[clear], expected.numpy()[clear])
    difference = levels.astype(int) - confidence_to_level(confidence).numpy()
    assert np.abs(difference).max() <= 1  # where rounding falls on the other side


@torch.no_grad()
def direct(network, image):
    return torch.softmax(network(torch.from_numpy(image)[None]), dim=1)[0]


def test_level_is_finest_near_one_and_decodes_to_itself():
    levels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(confidence_to_level(LEVEL_CONFIDENCE), levels)
    np.testing.assert_array_equal(
        confidence_to_level(torch.from_numpy(LEVEL_CONFIDENCE.copy())).numpy(), levels
    )
    assert np.all(np.diff(LEVEL_CONFIDENCE) > 0)
    confidence = np.random.default_rng(0).uniform(0.9, 1, 10_000)
    decoded = level_to_confidence(confidence_to_level(confidence))
    assert np.abs(decoded - confidence).max() < 0.0014
    assert confidence_to_level(np.array([-0.1, 0.0, 1.0, 1.1])).tolist() == [0, 0, 255, 255]


def test_one_window_is_the_direct_forward_pass():
    networks = [unet(0), unet(1)]
    image = random_image(16, 24, 20)
    labels, levels = predict_pair(networks, image, patch_size=(16, 24, 20), device="cpu")
    assert labels.shape == levels.shape == (2, 16, 24, 20)
    assert labels.dtype == levels.dtype == np.uint8
    for n, network in enumerate(networks):
        assert_same_prediction((labels[n], levels[n]), direct(network, image))


def blended_by_monai(network, image, patch, overlap):
    """Probabilities (C, Z, Y, X) of MONAI's own inferer over the whole volume."""
    along_z = compute_importance_map(patch[:1], mode="gaussian", sigma_scale=0.125)
    in_plane = compute_importance_map(patch[1:], mode="gaussian", sigma_scale=0.125)
    with torch.no_grad():
        return sliding_window_inference(
            torch.from_numpy(image)[None],
            patch,
            1,
            lambda x: torch.softmax(network(x), dim=1),
            overlap=overlap,
            roi_weight_map=along_z[:, None, None] * in_plane,
        )[0]


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.7])
def test_windows_are_blended_as_monai_does_in_three_dimensions(overlap):
    networks, patch = [unet(0), unet(1)], (12, 16, 16)
    image = random_image(29, 34, 21)
    labels, levels = predict_pair(
        networks, image, patch_size=patch, overlap=overlap, device="cpu", batch=3
    )
    for n, network in enumerate(networks):
        expected = blended_by_monai(network, image, patch, overlap)
        assert_same_prediction((labels[n], levels[n]), expected)


def test_volume_smaller_than_the_window_is_padded_with_air_and_cropped():
    network = unet(0)
    image = random_image(5, 9, 30)
    padded = np.full((1, 16, 16, 30), image.min(), np.float32)
    padded[:, 5:10, 3:12] = image
    labels, levels = predict_pair([network], image, patch_size=(16, 16, 16), device="cpu")
    whole_labels, whole_levels = predict_pair(
        [network], padded, patch_size=(16, 16, 16), device="cpu"
    )
    assert labels.shape == (1, 5, 9, 30)
    np.testing.assert_array_equal(labels, whole_labels[:, 5:10, 3:12])
    np.testing.assert_array_equal(levels, whole_levels[:, 5:10, 3:12])


def test_2d_networks_go_slice_by_slice():
    networks = [unet(0, spatial_dims=2), unet(1, spatial_dims=2)]
    image = random_image(19, 16, 24)
    seen = []
    labels, levels = predict_pair(
        networks, image, patch_size=(16, 24), device="cpu", progress=seen.append
    )
    for z in range(19):
        for n, network in enumerate(networks):
            expected = direct(network, image[:, z])
            assert_same_prediction((labels[n, z], levels[n, z]), expected)
    assert seen[-1] == 1.0


@pytest.mark.parametrize(
    "own", [(20, 30, 26), (5, 60, 13), (31, 15, 52), (40, 30, 26), (20, 60, 52), (1, 1, 1)]
)
def test_probabilities_are_interpolated_onto_the_volumes_own_grid(own):
    network, patch = unet(0), (16, 16, 16)
    image = random_image(20, 30, 26)
    probabilities = blended_by_monai(network, image, patch, 0.5)[None]
    expected = torch.nn.functional.interpolate(probabilities, own, mode="trilinear")[0]
    labels, levels = predict_pair(
        [network], image, patch_size=patch, output_shape=own, device="cpu"
    )
    assert labels.shape == (1, *own)
    assert_same_prediction((labels[0], levels[0]), expected)


def test_progress_rises_to_one_and_counts_every_window():
    network, seen = Intensity(), []
    predict_pair(
        [network], random_image(24, 16, 16), patch_size=(8, 8, 8), device="cpu",
        progress=seen.append, batch=1,
    )  # fmt: skip
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert len(seen) == 5 * 3 * 3
    assert seen[0] == pytest.approx(1 / 45)


def test_cancel_stops_before_the_next_window():
    network, asked = Intensity(), []
    network.train()

    def cancelled():
        asked.append(True)
        return len(asked) > 2

    with pytest.raises(Cancelled):
        predict_pair(
            [network], random_image(24, 16, 16), patch_size=(8, 8, 8), device="cpu",
            batch=1, cancelled=cancelled,
        )  # fmt: skip
    assert len(network.batches) == 2
    assert network.training  # put back as it was


def test_windows_of_air_are_background_without_asking_the_networks():
    image = np.zeros((1, 8, 8, 64), np.float32)
    image[..., :8] = np.random.default_rng(0).uniform(1, 2, (1, 8, 8, 8))
    network = Intensity(slope=-9, classes=3)
    labels, levels = predict_pair(
        [network, network], image, patch_size=(8, 8, 8), overlap=0.0, device="cpu", batch=2
    )
    assert sum(network.batches) == 2  # the first batch; it holds the one window with something
    assert labels.max() == 0
    assert levels[..., 16:].min() == 255


def test_same_network_twice_is_asked_once():
    network = Intensity()
    labels, _ = predict_pair(
        [network, network], random_image(8, 8, 8), patch_size=(8, 8, 8), device="cpu"
    )
    assert network.batches == [1]
    np.testing.assert_array_equal(labels[0], labels[1])


def test_dropout_is_off_while_predicting_and_the_mode_is_restored():
    network = nn.Sequential(nn.Dropout(0.9), Intensity())
    network.train()
    image = random_image(8, 8, 8)
    first = predict_pair([network], image, patch_size=(8, 8, 8), device="cpu")
    again = predict_pair([network], image, patch_size=(8, 8, 8), device="cpu")
    np.testing.assert_array_equal(first[1], again[1])
    assert network.training
    assert network[0].training


class Hungry(Intensity):
    """Runs out of memory when it gets more than one window at a time."""

    def forward(self, x):
        if len(x) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().forward(x)


def test_short_of_memory_a_smaller_batch_is_taken_and_said():
    image, notices = random_image(24, 16, 16), []
    labels, levels = predict_pair(
        [Hungry()], image, patch_size=(8, 8, 8), device="cpu", batch=4, notice=notices.append
    )
    assert_same_prediction((labels[0], levels[0]), direct(Intensity(), image))
    assert len(notices) == 2  # 4 -> 2 -> 1, then it suffices for the whole volume
    assert "1 window at a time" in notices[-1]


def test_memory_that_never_suffices_is_said_in_one_sentence():
    class Insatiable(Intensity):
        def forward(self, x):
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    with pytest.raises(PairProblem, match=r"Memory does not suffice .* smaller patch size"):
        predict_pair([Insatiable()], random_image(8, 8, 8), patch_size=(8, 8, 8), device="cpu")


def test_next_way_to_need_less_memory_ends_on_the_cpu():
    placing = first_placing("cpu", "32", 2, dims=3)
    cuda = torch.device("cuda")
    steps = [placing.__class__(cuda, cuda, 2, torch.float16)]
    while (thriftier := steps[-1].thriftier()) is not None:
        steps.append(thriftier)
    found = [(s.device.type, s.gather_on.type, s.batch, s.dtype) for s in steps]
    half = torch.float16
    assert found == [
        ("cuda", "cuda", 2, half),
        ("cuda", "cuda", 1, half),
        ("cuda", "cpu", 1, half),
        ("cpu", "cpu", 1, None),
    ]


def test_nan_is_refused_in_one_sentence():
    image = random_image(8, 8, 8)
    with pytest.raises(PairProblem, match="answered with NaN or infinity"):
        predict_pair([Intensity(slope=float("nan"))], image, patch_size=(8, 8, 8), device="cpu")


def test_mixed_precision_that_overflows_is_repeated_in_32_bits():
    class Overflowing(Intensity):
        def forward(self, x):
            answer = super().forward(x)
            return answer * float("inf") if torch.is_autocast_enabled("cpu") else answer

    image, notices = random_image(8, 8, 8), []
    labels, levels = predict_pair(
        [Overflowing()], image, patch_size=(8, 8, 8), device="cpu",
        precision="bf16-mixed", notice=notices.append,
    )  # fmt: skip
    assert_same_prediction((labels[0], levels[0]), direct(Intensity(), image))
    assert notices == ["Mixed precision gave NaN or infinity; going on in 32 bits."]


@pytest.mark.parametrize(
    ("shape", "settings", "sentence"),
    [
        ((8, 8, 8), {"patch_size": (8, 8, 8, 8)}, "give three sides"),
        ((8, 8, 8), {"patch_size": (8, 8, 8), "overlap": 1.0}, "from 0 to below 1"),
        ((8, 0, 8), {"patch_size": (8, 8, 8)}, r"expected \(channels, Z, Y, X\)"),
        ((8, 8, 8), {"patch_size": (8, 8, 8), "device": "cuda:99"}, "cannot be used here"),
    ],
)
def test_what_does_not_suit_is_said_in_one_sentence(shape, settings, sentence):
    image = np.zeros((1, *shape), np.float32)
    with pytest.raises(PairProblem, match=sentence) as caught:
        predict_pair([Intensity()], image, **{"device": "cpu", **settings})
    assert "\n" not in str(caught.value)


def test_networks_with_different_classes_are_refused():
    with pytest.raises(PairProblem, match="networks with the same classes"):
        predict_pair(
            [Intensity(classes=2), Intensity(classes=3)], random_image(8, 8, 8),
            patch_size=(8, 8, 8), device="cpu",
        )  # fmt: skip


def test_auto_device_is_there():
    assert pick_device("auto").type in ("cpu", "cuda")
    assert pick_device("cpu") == CPU


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
def test_cuda_agrees_with_cpu():
    image = random_image(40, 48, 56)
    kwargs = {"patch_size": (16, 16, 16), "output_shape": (20, 96, 60)}
    on_cpu = predict_pair([unet(0), unet(1)], image, device="cpu", **kwargs)
    on_gpu = predict_pair([unet(0), unet(1)], image, device="cuda", **kwargs)
    assert (on_cpu[0] == on_gpu[0]).mean() > 0.99
    assert np.abs(on_cpu[1].astype(int) - on_gpu[1]).mean() < 1

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_metassl.method.region import Region
from napari_metassl.method.regions import quadripartition, read_prediction, softmax


def random_logits(seed: int, shape: tuple[int, ...]) -> torch.Tensor:
    return 3.0 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


shapes = st.tuples(
    st.integers(1, 2), st.integers(2, 5), st.lists(st.integers(1, 5), min_size=2, max_size=3)
).map(lambda t: (t[0], t[1], *t[2]))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), shape=shapes)
def test_prediction_is_argmax_and_max_softmax(seed, shape):
    logits = random_logits(seed, shape)
    prediction = read_prediction(logits)
    probability = logits.double().softmax(dim=1)
    assert torch.equal(prediction.label.long(), logits.argmax(dim=1))
    torch.testing.assert_close(prediction.confidence.double(), probability.amax(dim=1))
    torch.testing.assert_close(softmax(logits).double(), probability)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), shape=shapes, threshold=st.floats(0.3, 1.0))
def test_regions_partition_the_volume_as_defined(seed, shape, threshold):
    a, b = (read_prediction(random_logits(seed + i, shape)) for i in range(2))
    thresholds = torch.linspace(threshold, 0.5, shape[1])
    regions = quadripartition(a, b.label, thresholds).numpy()

    same = (a.label == b.label).numpy()
    confident = a.confidence.numpy() > thresholds.numpy()[a.label.numpy()]
    expected = {
        Region.UC: same & confident,
        Region.US: same & ~confident,
        Region.DC: ~same & confident,
        Region.DS: ~same & ~confident,
    }
    assert regions.dtype == np.uint8
    for region, mask in expected.items():
        np.testing.assert_array_equal(regions == region, mask)
    assert sum((regions == region).sum() for region in Region) == regions.size


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), order=st.permutations(range(4)))
def test_regions_do_not_depend_on_the_order_of_classes(seed, order):
    a, b = (random_logits(seed + i, (1, 4, 3, 4, 5)) for i in range(2))
    thresholds = torch.tensor([0.5, 0.6, 0.7, 0.8])
    before = quadripartition(read_prediction(a), read_prediction(b).label, thresholds)
    after = quadripartition(
        read_prediction(a[:, order]), read_prediction(b[:, order]).label, thresholds[list(order)]
    )
    assert torch.equal(before, after)


def test_confidence_equal_to_the_threshold_is_suspicious():
    logits = torch.zeros(1, 2, 1, 1, 1)  # confidence exactly 0.5
    prediction = read_prediction(logits)
    half = torch.tensor([0.5, 0.5])
    assert quadripartition(prediction, prediction.label, half).item() == Region.US
    below = torch.tensor([0.499, 0.5])
    assert quadripartition(prediction, prediction.label, below).item() == Region.UC


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_far_apart_stay_finite(dtype):
    logits = torch.tensor([60000.0, -60000.0]).to(dtype).view(1, 2, 1, 1)
    prediction = read_prediction(logits)
    assert prediction.confidence.item() == 1.0
    assert softmax(logits).isfinite().all()

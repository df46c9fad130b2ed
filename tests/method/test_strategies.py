import copy

import pytest
import torch
from monai.networks.nets import AttentionUnet, BasicUNet, DynUNet, SegResNet, UNet
from torch import nn

from napari_metassl.errors import MetaSSLError
from napari_metassl.method.batch import Batch
from napari_metassl.method.losses import Link
from napari_metassl.method.perturbations import change_strongly, cut_mix
from napari_metassl.method.strategies import STRATEGIES, make_strategy
from napari_metassl.method.training_config import TrainingConfig


def unet(seed: int = 0, channels=(4, 8), strides=(2,), **options) -> nn.Module:
    torch.manual_seed(seed)
    return UNet(3, 1, 2, channels=channels, strides=strides, **options)


IMAGE = torch.randn(2, 1, 8, 8, 8, generator=torch.Generator().manual_seed(0))


def make(name: str, nets, **changes):
    return make_strategy(nets, TrainingConfig(strategy=name, patch_size=(8, 8, 8), **changes))


def learn(strategy) -> None:
    """One plain gradient step on everything that has a gradient."""
    sum(logits.square().mean() for logits in strategy(IMAGE)).backward()
    with torch.no_grad():
        for weight in strategy.parameters():
            if weight.grad is not None:
                weight.sub_(0.1 * weight.grad)


def test_cps_gives_two_networks_the_same_image_and_links_both_ways():
    nets = unet(0), BasicUNet(3, 1, 2, features=(4, 4, 8, 8, 8, 4))
    image = torch.randn(1, 1, 32, 32, 32)
    strategy = make("cps", nets).eval()
    for given, net in zip(strategy(image), nets, strict=True):
        torch.testing.assert_close(given, net(image))
    assert strategy.links == (Link(0, 1), Link(1, 0))
    assert (strategy.supervised, strategy.reference) == nets


@pytest.mark.parametrize("second", [None, "same"])
def test_cps_of_one_network_is_refused(second):
    net = unet()
    with pytest.raises(MetaSSLError, match="got one network, expected two"):
        make("cps", (net, net if second else None))


def test_teacher_is_the_moving_average_of_the_student_buffers_included():
    student = unet(norm="batch")
    strategy = make("mean_teacher", (student, None), ema_decay=0.9).train()
    teacher = strategy.reference
    assert teacher is not student
    for step in range(15):
        learn(strategy)
        before = copy.deepcopy(teacher.state_dict())
        strategy.after_step(step)
        decay = min(1 - 1 / (step + 1), 0.9)
        for name, now in student.state_dict().items():
            if now.is_floating_point():
                expected = decay * before[name] + (1 - decay) * now
                torch.testing.assert_close(teacher.state_dict()[name], expected)
    assert any("running_mean" in name for name in before)
    assert all(weight.grad is None for weight in teacher.parameters())
    assert len(strategy.links) == 1


def test_student_and_teacher_see_different_noise():
    strategy = make("mean_teacher", (unet(), None)).eval()
    student, teacher = strategy(IMAGE)
    assert not torch.equal(student, teacher)
    assert student.requires_grad and not teacher.requires_grad


def test_a_teacher_of_another_architecture_is_refused():
    with pytest.raises(MetaSSLError, match="same architecture"):
        make("mean_teacher", (unet(), unet(num_res_units=1)))


def test_fixmatch_learns_from_its_strong_view_only():
    strategy = make("fixmatch", (unet(), None)).eval()
    strong, weak = strategy(IMAGE)
    torch.testing.assert_close(weak, strategy.supervised(IMAGE))
    assert strong.requires_grad and not weak.requires_grad
    assert not torch.equal(strong, weak)
    assert strategy.supervised is strategy.reference


def test_r_drop_predicts_under_two_masks_and_needs_dropout():
    strategy = make("r_drop", (unet(dropout=0.3), None)).train()
    first, second = strategy(IMAGE)
    assert first.requires_grad and second.requires_grad
    assert not torch.equal(first, second)
    with pytest.raises(MetaSSLError, match="without dropout"):
        make("r_drop", (unet(), None))


def test_cct_shares_the_encoder_and_perturbs_it_for_the_auxiliary_decoder():
    main = unet(channels=(4, 8, 16), strides=(2, 2))
    strategy = make("cct", (main, None)).train()
    auxiliary = strategy.supervised
    assert strategy.reference is main and auxiliary is not main
    assert strategy.links == (Link(0, 1), Link(1, None))
    shared = {id(p) for p in main.parameters()} & {id(p) for p in auxiliary.parameters()}
    assert 0 < len(shared) < len(list(main.parameters()))

    perturbed, plain = strategy(IMAGE)
    torch.testing.assert_close(plain, main(IMAGE))
    assert not torch.equal(perturbed, auxiliary(IMAGE))  # outside of training it is not perturbed
    torch.testing.assert_close(auxiliary(IMAGE), auxiliary(IMAGE))


@pytest.mark.parametrize(
    "network",
    [
        lambda: BasicUNet(3, 1, 2, features=(4, 4, 8, 8, 8, 4)),
        lambda: SegResNet(3, 8, 1, 2),
        lambda: DynUNet(3, 1, 2, (3,) * 3, (1, 2, 2), (2, 2), filters=(4, 8, 8)),
        lambda: AttentionUnet(3, 1, 2, (4, 8, 8), (2, 2)),
    ],
)
def test_the_encoder_of_other_networks_is_found(network):
    main = network()
    config = TrainingConfig(strategy="cct", patch_size=(32, 32, 32))
    strategy = make_strategy((main, None), config)
    total = len(list(main.parameters()))
    shared = {id(p) for p in main.parameters()} & {id(p) for p in strategy.supervised.parameters()}
    assert 0.2 * total < len(shared) < 0.95 * total


def test_a_loaded_cct_pair_is_tied_again():
    auxiliary, main = unet(1), unet(2)
    strategy = make("cct", (auxiliary, main))
    assert (strategy.supervised, strategy.reference) == (auxiliary, main)
    first = next(iter(main.parameters()))
    assert first is next(iter(auxiliary.parameters()))


def test_cct_refuses_a_network_without_bottleneck():
    flat = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.Conv3d(4, 2, 3, padding=1))
    with pytest.raises(MetaSSLError, match="do not shrink"):
        make("cct", (flat, None))


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_every_strategy_gives_logits_for_every_prediction_it_links(name):
    strategy = make(name, (unet(0, dropout=0.1), unet(1, dropout=0.1)))
    logits = strategy(IMAGE)
    assert all(one.shape == (2, 2, 8, 8, 8) for one in logits)
    for link in strategy.links:
        assert logits[link.prediction].requires_grad
        assert link.reference is None or link.reference < len(logits)


def test_the_strong_view_leaves_voxels_in_place():
    torch.manual_seed(1)
    image = torch.zeros(3, 2, 16, 16, 16)
    image[..., 8:] = 1.0
    changed = change_strongly(image)
    assert not torch.equal(changed, image)
    dark, bright = changed[..., :8].mean((2, 3, 4)), changed[..., 8:].mean((2, 3, 4))
    assert (bright - dark > 0.4).all()
    assert changed.isfinite().all()


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_an_image_of_one_value_stays_finite(value):
    assert change_strongly(torch.full((2, 1, 4, 4, 4), value)).isfinite().all()


def test_cut_mix_keeps_every_voxel_with_what_is_known_of_it():
    torch.manual_seed(0)
    value = torch.arange(4).view(4, 1, 1, 1).expand(4, 8, 8, 8)
    batch = Batch(value[:, None].float(), value.to(torch.int16), value > 1, value > 0)
    mixed = cut_mix(batch)
    assert not torch.equal(mixed.image, batch.image)
    assert torch.equal(mixed.image[:, 0], mixed.label.float())
    assert torch.equal(mixed.corrected, mixed.label > 1)
    assert torch.equal(mixed.valid, mixed.label > 0)
    assert torch.bincount(mixed.label.flatten().long()).tolist() == [512] * 4

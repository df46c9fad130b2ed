import numpy as np

from napari_metassl.method.patches import PatchSampler
from napari_metassl.method.training_config import TrainingConfig
from napari_metassl.method.training_volume import TrainingVolume


def config(**changes) -> TrainingConfig:
    usual = {
        "patch_size": (8, 8, 8),
        "batch_labeled": 2,
        "batch_unlabeled": 2,
        "intensity_changes": False,
    }
    return TrainingConfig(**(usual | changes))


def place_of_voxels(shape=(20, 24, 28)) -> np.ndarray:
    """An image in which every voxel has its own value, so that its place can be told."""
    return np.arange(np.prod(shape), dtype=np.float32).reshape(1, *shape)


def labeled_volume(shape=(20, 24, 28), name="full") -> TrainingVolume:
    """One small foreground structure: 8 of 13,440 voxels."""
    label = np.zeros(shape, np.int16)
    label[3:5, 10:12, 20:22] = 1
    return TrainingVolume(name, place_of_voxels(shape), label)


def corrected_volume(shape=(20, 24, 28)) -> TrainingVolume:
    corrected = np.zeros(shape, bool)
    corrected[15, 2:4, 5] = True
    label = np.where(corrected, 1, -1).astype(np.int16)
    return TrainingVolume("corrected", place_of_voxels(shape), label, corrected)


UNLABELED = TrainingVolume("unlabeled", place_of_voxels())


def test_labels_and_masks_stay_with_their_voxels_through_flips():
    volume = corrected_volume()
    sampler = PatchSampler([labeled_volume(), volume, UNLABELED], config())
    known = 0
    for step in range(30):
        batch = sampler.batch(step)
        assert batch.image.shape == (4, 1, 8, 8, 8) and batch.label.shape == (4, 8, 8, 8)
        for item in range(4):
            place = batch.image[item, 0].numpy().astype(int)
            assert batch.valid[item].all()
            source = labeled_volume() if (batch.label[item] == 0).any() else volume
            known += int((batch.label[item] >= 0).any())
            if (batch.label[item] >= 0).any():
                assert (batch.label[item].numpy() == source.label.ravel()[place]).all()
            expected = batch.corrected[item].numpy()
            if expected.any():
                assert (expected == volume.corrected.ravel()[place]).all()
    assert known >= 60


def test_small_foreground_is_in_view_as_often_as_asked():
    def seen(share: float) -> float:
        sampler = PatchSampler([labeled_volume()], config(foreground_share=share))
        return float(
            np.mean(
                [(sampler.batch(i).label == 1).any((1, 2, 3)).float().mean() for i in range(100)]
            )
        )

    assert seen(1.0) == 1.0
    assert seen(0.0) < 0.25


def test_every_class_gets_its_share_of_patches():
    label = np.zeros((32, 32, 32), np.int16)
    label[:, :, 16:] = 1  # half the volume
    label[2, 2, 2] = 2  # a single voxel
    volume = TrainingVolume("two", place_of_voxels(label.shape), label)
    sampler = PatchSampler([volume], config(foreground_share=1.0))
    seen = np.mean(
        [(sampler.batch(i).label == 2).any((1, 2, 3)).float().mean() for i in range(100)]
    )
    assert 0.35 < seen < 0.65


def test_every_labeled_patch_of_a_sparse_volume_shows_a_correction():
    sampler = PatchSampler([corrected_volume(), UNLABELED], config())
    for step in range(50):
        batch = sampler.batch(step)
        assert batch.corrected[:2].any(dim=(1, 2, 3)).all()


def test_corrected_volumes_get_their_share_beside_labeled_ones():
    sampler = PatchSampler([labeled_volume(), corrected_volume()], config(corrected_share=0.25))
    sparse = np.stack(
        [(sampler.batch(i).label[:2] == -1).any(dim=(1, 2, 3)).numpy() for i in range(200)]
    )
    assert not sparse[:, 0].any()  # one patch of every batch is fully labeled
    assert 0.15 < sparse[:, 1].mean() < 0.35


def test_a_volume_smaller_than_the_patch_is_padded_and_marked():
    small = labeled_volume(shape=(5, 24, 28))
    image = small.image - 7.0
    sampler = PatchSampler([TrainingVolume("thin", image, small.label)], config(flip_axes=()))
    batch = sampler.batch(0)
    inside = batch.valid[0].any(dim=2).any(dim=1)
    assert inside.tolist() == [False] * 2 + [True] * 5 + [False]
    assert (batch.label[0][~inside] == -1).all() and (batch.label[0][inside] >= 0).all()
    assert (batch.image[0, 0][~inside] == image.min()).all()


def test_what_a_step_draws_depends_on_seed_and_step_alone():
    volumes = [labeled_volume(), corrected_volume(), UNLABELED]
    first, again = (PatchSampler(volumes, config(seed=3)) for _ in range(2))
    for step in (0, 1, 2):
        first.batch(step)
    assert np.array_equal(first.batch(7).image, again.batch(7).image)
    assert not np.array_equal(first.batch(8).image, again.batch(7).image)
    other = PatchSampler(volumes, config(seed=4))
    assert not np.array_equal(other.batch(7).image, again.batch(7).image)


def test_no_unlabeled_patches_where_they_are_not_used():
    volumes = [labeled_volume(), UNLABELED]
    assert len(PatchSampler(volumes, config(unlabeled_loss="none")).batch(0).image) == 2
    assert len(PatchSampler([labeled_volume()], config()).batch(0).image) == 2
    assert len(PatchSampler(volumes, config()).batch(0).image) == 4


def test_slices_for_networks_that_take_slices():
    sampler = PatchSampler(
        [labeled_volume(), corrected_volume(), UNLABELED], config(patch_size=(8, 10))
    )
    batch = sampler.batch(0)
    assert batch.image.shape == (4, 1, 8, 10)
    assert batch.label.shape == batch.corrected.shape == batch.valid.shape == (4, 8, 10)


def test_half_precision_images_are_kept_and_given_as_float32():
    volume = labeled_volume((8, 8, 8))
    half = TrainingVolume("half", volume.image.astype(np.float16), np.zeros((8, 8, 8), np.int16))
    sampler = PatchSampler([half], config())
    assert sampler.full[0].volume.image is half.image
    assert str(sampler.batch(0).image.dtype) == "torch.float32"


def test_intensity_changes_leave_voxels_in_place_and_labels_as_they_are():
    label = np.zeros((8, 8, 8), np.int16)
    label[..., 4:] = 1
    volume = TrainingVolume("two halves", label[None].astype(np.float32), label)
    sampler = PatchSampler([volume], config(intensity_changes=True, batch_unlabeled=0))
    images = []
    for step in range(8):
        batch = sampler.batch(step)
        dark, bright = batch.image[:, 0][batch.label == 0], batch.image[:, 0][batch.label == 1]
        assert bright.mean() - dark.mean() > 0.7 and bright.std() < 0.2
        images.append(batch.image)
    assert len({image.mean().item() for image in images}) == 8
    assert (sampler.batch(3).image == images[3]).all()

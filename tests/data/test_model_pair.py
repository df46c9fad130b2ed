import json
import subprocess
import sys
import warnings

import pytest
import torch

from napari_metassl.data.model_card import ModelCard, list_pairs, read_card
from napari_metassl.data.model_pair import load_pair, new_pair, save_pair
from napari_metassl.errors import MetaSSLError, PairProblem
from napari_metassl.method.network_config import NetworkConfig

UNET = NetworkConfig(architecture="UNet", classes=3, options={"channels": (4, 8), "strides": (2,)})
DYNUNET = NetworkConfig(
    architecture="DynUNet", classes=3, options={"filters": (4, 8, 8), "strides": (1, 2, 2)}
)
WEIGHTS = "supervised.safetensors"


def card(**fields):
    return ModelCard(
        **{
            "name": "heart",
            "class_names": ("background", "atrium", "ventricle"),
            "supervised": UNET,
            "reference": DYNUNET,
            "patch_size": (16, 16, 16),
            **fields,
        }
    )


@pytest.fixture
def saved(tmp_path):
    """Folder of a small pair of two different networks."""
    save_pair(new_pair(card(), seed=3), tmp_path / "heart")
    return tmp_path / "heart"


def logits(pair):
    images = torch.linspace(-1, 1, 16**3).reshape(1, 1, 16, 16, 16)
    with torch.no_grad():
        return [network.eval()(images) for network in pair.networks]


def test_pair_comes_back_as_it_was_saved(tmp_path):
    given = card(
        spacing=(2.5, 1, 1),
        thresholds=((0.9, 0.8, 0.7), (0.91, 0.81, 0.71)),
        parent="older",
        job_id="j1",
        metrics={"dice": {"atrium": 0.8}},
        normalisation={"kind": "window", "low": -160, "high": 240},
    )
    pair = new_pair(given, seed=0)
    written = save_pair(pair, tmp_path / "a" / "pair")
    loaded = load_pair(tmp_path / "a" / "pair")
    assert loaded.card == written == read_card(tmp_path / "a" / "pair")
    assert written.model_copy(update={"sha256": {}}) == given
    for before, after in zip(logits(pair), logits(loaded), strict=True):
        assert torch.equal(before, after)
    assert not loaded.supervised.training
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["pair"]
    assert sorted(p.name for p in (tmp_path / "a" / "pair").iterdir()) == [
        "card.json",
        "reference.safetensors",
        "supervised.safetensors",
    ]


def test_non_contiguous_and_shared_weights_are_saved(tmp_path):
    pair = new_pair(card(reference=UNET), seed=0)
    for p in pair.supervised.parameters():
        p.data = p.data.transpose(0, -1).contiguous().transpose(0, -1)
    assert any(not p.is_contiguous() for p in pair.supervised.parameters())
    both = type(pair)(pair.card, pair.supervised, pair.supervised)
    save_pair(both, tmp_path / "twice")
    supervised, reference = logits(load_pair(tmp_path / "twice"))
    assert torch.equal(supervised, reference)
    assert torch.equal(supervised, logits(pair)[0])


def test_replacing_a_pair_leaves_the_new_one_only(saved):
    before = read_card(saved)
    after = save_pair(new_pair(card(name="better"), seed=9), saved)
    assert after.fingerprint != before.fingerprint
    assert load_pair(saved).card == after
    assert [p.name for p in saved.parent.iterdir()] == ["heart"]


def test_failed_save_leaves_the_old_pair(saved, monkeypatch):
    before = read_card(saved)

    def full_disk(*args):
        raise OSError("No space left on device")

    monkeypatch.setattr("napari_metassl.data.model_pair.sha256_of", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_pair(new_pair(card(), seed=1), saved)
    monkeypatch.undo()
    assert load_pair(saved).card == before
    assert [p.name for p in saved.parent.iterdir()] == ["heart"]


def test_folder_with_something_else_is_not_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(PairProblem, match="not a model pair, so it is not replaced"):
        save_pair(new_pair(card()), tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_new_cps_networks_differ_and_a_strategy_with_one_network_copies_it():
    same = card(reference=UNET)
    first, second = logits(new_pair(same, seed=0))
    assert not torch.equal(first, second)
    again, _ = logits(new_pair(same, seed=0))
    assert torch.equal(first, again)
    pair = new_pair(same.model_copy(update={"strategy": "mean_teacher"}), seed=0)
    student, teacher = logits(pair)
    assert torch.equal(student, teacher)
    assert pair.supervised is not pair.reference
    with pytest.raises(PairProblem, match=r"'mean_teacher' uses one network"):
        new_pair(card(strategy="mean_teacher"))


def edit_card(folder, **fields):
    content = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**content, **fields}))


def truncate(folder):
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_bit(folder):
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-5] ^= 1
    (folder / WEIGHTS).write_bytes(content)


def larger_network_on_card(folder):
    options = {"channels": (8, 16), "strides": (2,)}
    edit_card(folder, supervised={**UNET.model_dump(), "options": options})


def other_network_on_card(folder):
    edit_card(folder, supervised=NetworkConfig(architecture="SegResNet", classes=3).model_dump())


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda f: (f / "card.json").unlink(), r"is not a model pair: it has no card.json"),
        (lambda f: (f / "card.json").write_text("{"), r"cannot be read as JSON"),
        (lambda f: (f / "card.json").write_bytes(b"\xff\xfe\x00"), r"cannot be read as JSON"),
        (lambda f: (f / "card.json").write_text("[1]"), r"is not a valid card"),
        (lambda f: edit_card(f, format_version=99), r"pair format 99, .* Update napari-metassl"),
        (lambda f: edit_card(f, name=""), r"not a valid card: name: "),
        (lambda f: edit_card(f, class_names=["a"]), r"1 class names but its networks have 3"),
        (lambda f: edit_card(f, extra=1), r"not a valid card: extra: "),
        (lambda f: edit_card(f, sha256={}), r"has no SHA-256"),
        (lambda f: (f / WEIGHTS).unlink(), r"has no '.*supervised.safetensors'"),
        (truncate, r"supervised.safetensors' cannot be read as safetensors"),
        (lambda f: (f / WEIGHTS).write_bytes(b""), r"cannot be read as safetensors"),
        (flip_a_bit, r"was changed after it was saved"),
        (larger_network_on_card, r"card's UNet do not fit: .* of another shape \(model.0"),
        (other_network_on_card, r"card's SegResNet do not fit: \d+ tensors are missing \(.*extra"),
    ],
)
def test_what_does_not_fit_is_said_in_one_sentence(saved, damage, sentence):
    damage(saved)
    with pytest.raises(PairProblem, match=sentence) as caught:
        load_pair(saved)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, MetaSSLError)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"patch_size": (17, 16, 16)}, r"nearest that can is \(20, 16, 16\)"),
        ({"patch_size": (16, 16)}, r"give 3 sides"),
        ({"class_names": ("a", "b", "b")}, r"make them different"),
        ({"class_names": ("a", "b")}, r"2 class names but its networks have 3"),
        ({"class_colors": ("red", "green", "blue")}, r"not of the form #rrggbb"),
        ({"thresholds": ((0.9,), (0.9,))}, r"1 thresholds of the supervised network"),
        ({"spacing": (0, 1, 1)}, r"three positive sizes"),
        ({"reference": UNET.model_copy(update={"classes": 2})}, r"has classes 3 but"),
        ({"normalisation": {"kind": "window"}}, r"the lower first"),
        ({"normalisation": {"kind": "percentile", "low": 99.9}}, r"the lower first"),
        ({"normalisation": {"kind": "zscore", "low": 1}}, r"takes no low and high"),
    ],
)
def test_card_that_contradicts_itself_is_refused(fields, sentence):
    with pytest.raises(PairProblem, match=sentence) as caught:
        card(**fields)
    assert "\n" not in str(caught.value)


def test_colours_and_thresholds_have_defaults():
    made = card()
    assert len(set(made.class_colors)) == 3
    assert made.thresholds == ((0.9,) * 3,) * 2


def test_list_of_pairs_is_oldest_first_and_skips_what_is_unfinished_or_damaged(tmp_path):
    for name, day in (("b", 1), ("a", 2)):
        created = f"2024-01-0{day}T00:00:00Z"
        save_pair(new_pair(card(name=name, created=created)), tmp_path / name)
    (tmp_path / "b").rename(tmp_path / "moved")
    (tmp_path / ".c.partial").mkdir()
    (tmp_path / ".c.partial" / "card.json").write_text("{")
    (tmp_path / "notes").mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [(p.name, c.name) for p, c in list_pairs(tmp_path)] == [("moved", "b"), ("a", "a")]
    (tmp_path / "a" / "card.json").write_text("{")
    with pytest.warns(UserWarning, match="cannot be read as JSON"):
        assert [p.name for p, _ in list_pairs(tmp_path)] == ["moved"]
    assert list_pairs(tmp_path / "nowhere") == []


def test_reading_cards_does_not_import_torch(saved):
    code = (
        "import sys; from napari_metassl.data.model_card import list_pairs; "
        f"assert list_pairs({str(saved.parent)!r}); "
        "sys.exit('torch' in sys.modules or 'monai' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

import subprocess
import sys

import pytest
from pydantic import ValidationError

from napari_metassl.method.training_config import LossConfig, RegionWeights, TrainingConfig


def test_settings_survive_as_json():
    config = TrainingConfig.fine_tune(
        strategy="mean_teacher", patch_size=(8, 8), weights_unlabeled=RegionWeights.rational()
    )
    assert TrainingConfig.model_validate_json(config.model_dump_json()) == config


def test_a_short_run_ramps_up_early_and_steps_carefully():
    short, long = TrainingConfig.fine_tune(), TrainingConfig.from_scratch()
    assert short.steps < long.steps and short.learning_rate < long.learning_rate
    assert short.consistency_weight(short.steps // 5) == short.consistency
    assert TrainingConfig.fine_tune(steps=77).steps == 77
    assert long.weights_labeled == RegionWeights.rational(labeled=True)
    paper = RegionWeights.paper()
    assert TrainingConfig.from_scratch(weights_unlabeled=paper).weights_unlabeled == paper


def test_cap_is_the_papers_unless_given():
    assert LossConfig().cap == TrainingConfig(patch_size=(8, 8, 8)).cap == 0.9
    assert TrainingConfig(patch_size=(8, 8)).cap == 1.0
    assert TrainingConfig(patch_size=(8, 8), threshold_cap=0.8).cap == 0.8
    assert TrainingConfig(threshold_quantile=0.1).cap == 1.0
    assert LossConfig(threshold_quantile=0.1, threshold_cap=0.95).cap == 0.95


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"patch_size": (8,)}, "expected 3"),
        ({"patch_size": (8, 8), "flip_axes": (2,)}, "has not"),
        ({"steps": 0}, "steps"),
        ({"threshold_cap": 1.5}, "threshold_cap"),
        ({"strategy": "magic"}, "cps"),
        ({"lerning_rate": 1.0}, "lerning_rate"),
    ],
)
def test_settings_that_make_no_sense_are_refused(fields, words):
    with pytest.raises(ValidationError, match=words):
        TrainingConfig(**fields)


def test_settings_need_no_torch():
    code = "import sys, napari_metassl.method.training_config; print('torch' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "False"

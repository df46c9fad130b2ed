"""What of the corrections was painted by hand."""

from pathlib import Path

from napari_metassl.data.corrections import Corrections
from napari_metassl.data.hand_painted import hand_painted


def test_only_what_the_actions_gave_this_value_is_found(tmp_path: Path) -> None:
    with Corrections.open(tmp_path, "p", (2, 3, 4)) as corrections:
        flat = corrections.labels.reshape(-1)
        flat[[2, 3, 9]] = 1
        corrections.record("paint")
        flat[[3, 4]] = 2
        corrections.record("paint")
        flat[[10, 11]] = 1
        corrections.record("confirm as predicted")
        flat[[20]] = 1
        corrections.record("polygon")
        history = corrections.history
    assert hand_painted(history, {"paint", "polygon"}, 1).tolist() == [2, 3, 9, 20]
    assert hand_painted(history, {"paint"}, 2).tolist() == [3, 4]
    assert hand_painted(history, {"skip"}, 1).tolist() == []

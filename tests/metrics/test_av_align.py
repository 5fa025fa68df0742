import json
import math
from pathlib import Path

import numpy as np
import pytest

from sonovid.metrics import av_align

REFERENCES = Path(__file__).parents[2].parent / "shared" / "metric_references.json"
FORMS = {
    "sony_svg": av_align.sony,
    "tempotokens_2025": av_align.tempotokens2025,
    "tempotokens_2023": av_align.tempotokens2023,
    "javisbench": av_align.javisbench,
}


@pytest.fixture(scope="module")
def references():
    if not REFERENCES.is_file():
        pytest.skip("no reference values here")
    return json.loads(REFERENCES.read_text())


@pytest.mark.parametrize("form", FORMS)
def test_edge_cases_are_those_of_the_released_programs(form, references):
    for name, case in references["av_align_iou_edge_cases"].items():
        found = FORMS[form](case["audio"], case["video"], case["fps"])
        if case[form] == "ZeroDivisionError":
            assert math.isnan(found), name
        else:
            assert found == pytest.approx(case[form], abs=1e-9), name


@pytest.mark.parametrize("form", FORMS)
def test_scores_of_real_clips_follow_from_their_peaks(form, references):
    for name, clip in references["av_align_clips"].items():
        if form == "tempotokens_2025":
            flow = np.array(clip["flow_trajectory"])
            heights = flow[np.round(np.array(clip["video_peak_times"]) * clip["fps"]).astype(int)]
            found = av_align.tempotokens2025(clip["onset_times"], clip["video_peak_times"], clip["fps"], flow=heights)
        else:
            found = FORMS[form](clip["onset_times"], clip["video_peak_times"], clip["fps"])
        assert found == pytest.approx(clip["scores_from_stored_peaks"][form], abs=1e-9), name


def test_precision_recall_and_counts():
    found = av_align.count_coincidences([0.1, 0.5, 0.52, 1.0], [0.48, 3.0], 8)
    assert found == (0.5, 0.5, 4, 2, 2, 1)
    assert av_align.count_coincidences([], [], 8) == (0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize("form", FORMS.values())
def test_the_order_of_peaks_in_a_list_says_nothing_but_their_times_do(form):
    audio, video = [0.1, 0.5, 0.52, 1.0, 2.0], [0.48, 1.05, 2.02, 3.0]
    assert form(audio, video, 8) == pytest.approx(form(np.array(audio) + 7, np.array(video) + 7, 8))
    assert form(audio, video, 8) > form(audio, np.array(video) + 10, 8)


def test_only_the_bounded_forms_are_bounded():
    audio, video = [0.92, 0.96, 1.0, 1.04, 1.08], [1.0]
    assert av_align.sony(audio, video, 10) == 1
    assert av_align.tempotokens2025(audio, video, 10) == 1 / 5
    assert av_align.tempotokens2023(audio, video, 10) == 5


def test_weak_motion_is_no_peak_in_2025():
    assert av_align.tempotokens2025([1.0], [1.0, 2.0], 8, flow=[0.1, 0.09]) == 1
    assert av_align.tempotokens2025([1.0], [1.0, 2.0], 8, flow=[0.09, 0.1]) == 0


def test_a_rate_of_nought_is_refused():
    with pytest.raises(ValueError, match=r"fps=0.*above zero"):
        av_align.sony([1.0], [1.0], 0)

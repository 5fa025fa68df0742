import pytest

from sonovid.metrics.rating.questions import FORMS, TASKS, questionnaire


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", FORMS)
def test_every_form_asks_something_of_every_task(name, task):
    form = questionnaire(name, task)
    keys = [question.key for question in form.questions]
    assert len(set(keys)) == len(keys) >= 2
    assert all(question.text and question.title for question in form.questions)
    assert (form.low, form.high) == ((0, 5) if name == "mmldm" else (1, 5))


def test_cmmd_asks_what_was_generated_and_mmldm_always_the_same():
    def keys(name, task):
        return [question.key for question in questionnaire(name, task).questions]

    assert keys("cmmd", "audio-to-video") == ["video_quality", "temporal_synchronisation"]
    assert keys("cmmd", "video-to-audio") == ["acoustic_quality", "semantic_quality", "temporal_synchronisation"]
    assert keys("cmmd-dance", "video-to-audio") == ["acoustic_quality", "musical_quality", "temporal_synchronisation"]
    assert keys("mmldm", "joint") == keys("mmldm", "video-to-audio") == ["AQ", "VQ", "A-V"]


def test_a_misspelt_form_is_named():
    with pytest.raises(ValueError, match=r"questions=mm-ldm: .*did you mean mmldm"):
        questionnaire("mm-ldm", "joint")
    with pytest.raises(ValueError, match="task=video2audio: expected joint"):
        questionnaire("cmmd", "video2audio")

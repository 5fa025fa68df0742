"""The generation tab without a browser, on real jobs of the tiny model."""

import asyncio
import shutil
import time

import gradio as gr
import pytest

from sonovid.app.errors import RequestError
from sonovid.app.page import rendering
from sonovid.app.page.examples import Examples
from sonovid.app.page.generate import MAX_HISTORY, GenerateActions, GenerateTab

RESULT, SHOWN, IDS, HISTORY, GO, CANCEL, AGAIN, SEED = range(8)


@pytest.fixture
def tab(working, film, tone):
    """The tab, and a folder of uploads as Gradio leaves them."""
    jobs, models = working
    uploads = jobs.folder / "page" / "0123"
    uploads.mkdir(parents=True)
    for path in (film, tone):
        shutil.copy(path, uploads)
    with gr.Blocks():
        return GenerateTab(GenerateActions(jobs, models, Examples(film.parent, film, tone)))


def values(**changed):
    """The values of the components, in the order in which the page passes them."""
    held = {
        "prompt": "a stick hits a can",
        "video": None,
        "audio": None,
        "model": "tiny",
        "seconds": 1.0,
        "steps": 2,
        "guidance": 3.0,
    }
    held |= {"audio_guidance": 3.0, "seed": 7, "other": False, "negative": "", "label": None, "ids": []}
    return list((held | changed).values())


def updates(generator):
    async def all_of_them():
        return [update async for update in generator]

    return asyncio.run(all_of_them())


def test_words_become_a_clip_that_is_remembered(tab):
    found = updates(tab.generate(*values()))
    first, last = found[0], found[-1]
    assert first[CANCEL]["interactive"]
    assert not first[GO]["interactive"]
    job = first[SHOWN]
    assert f'src="/v1/videos/{job}/content?index=0"' in last[RESULT]
    assert "seed 7" in last[RESULT]
    assert "8000 samples at 8000 Hz" in last[RESULT]
    assert last[IDS] == [job]
    assert (last[HISTORY]["value"], last[HISTORY]["choices"][0][1]) == (job, job)
    assert last[AGAIN]["interactive"]
    other = updates(tab.repeat(job, [job]))[-1]
    assert other[IDS][1] == job != other[IDS][0]
    assert "seed 7 " not in other[RESULT]
    assert tab.select_job(job)[0] == last[RESULT]


def test_every_time_another_seed_where_that_is_wanted(tab):
    seeds = [updates(tab.generate(*values(other=True)))[0][SEED] for _ in range(2)]
    assert seeds[0] != seeds[1]
    assert 7 not in seeds


def test_a_given_video_stands_beside_what_was_made(tab):
    film = str(tab.work.jobs.folder / "page" / "0123" / "film.mp4")
    html = updates(tab.generate(*values(prompt="", video=film)))[-1][RESULT]
    assert html.count("<video") == 2
    assert "variant=source" in html
    assert "32x24 at 12 frames per second" in html
    tone = str(tab.work.jobs.folder / "page" / "0123" / "tone.wav")
    html = updates(tab.generate(*values(prompt="", audio=tone)))[-1][RESULT]
    assert (html.count("<video"), html.count("<audio")) == (1, 1)


def test_frames_emerge_while_somebody_looks(tab):
    # So many that they take several times as long as the page waits between two looks.
    found = updates(tab.generate(*values(steps=300)))
    assert any("data:image/jpeg;base64," in update[RESULT] for update in found[:-1])
    assert any("of 300." in update[RESULT] for update in found[:-1])


def test_cancelling_ends_it_and_nothing_is_left(tab):
    async def begin_and_stop():
        found = []
        async for update in tab.generate(*values(steps=100, seconds=3.0)):
            found.append(update)
            tab.stop(found[0][SHOWN])
        return found

    last = asyncio.run(begin_and_stop())[-1]
    assert last[RESULT] == rendering.CANCELLED
    assert last[IDS] == []
    assert last[GO]["interactive"]
    until = time.monotonic() + 20
    while list(tab.work.jobs.files.iterdir()):
        assert time.monotonic() < until
    tab.stop("video_none")


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"prompt": " "}, "nothing to generate from"),
        ({"prompt": "<b>x</b>" * 300}, "at most 2000"),
        ({"seed": -1}, "greater than"),
        ({"seconds": 100.0}, "the limit is 4"),
        ({"video": "/etc/passwd"}, "other paths are not read"),
        ({"video": "a", "audio": "b"}, "nothing to generate"),
    ],
)
def test_errors_are_the_one_line_of_the_command_line(tab, changed, why):
    (only,) = updates(tab.generate(*values(**changed)))
    assert only[RESULT].startswith('<p class="sv-error" role="alert">error: ')
    assert why in only[RESULT]
    assert "<b>" not in only[RESULT]
    assert tab.work.jobs.store.ids() == set()


def test_a_page_that_is_loaded_again_finds_its_job(tab):
    job = tab.work.submit({"prompt": "x", "num_inference_steps": 20, "seed": 1}, None, None)
    found = updates(tab.resume([job.id, "video_gone", 5]))
    assert "Sampling" in found[0][RESULT] or "Waiting" in found[0][RESULT] or "Starting" in found[0][RESULT]
    assert "<video" in found[-1][RESULT]
    assert found[-1][IDS] == [job.id]
    assert len(updates(tab.resume([]))) == len(updates(tab.resume("nonsense"))) == 1


def test_a_browser_remembers_so_many(tab):
    job = tab.work.submit({"prompt": "x", "num_inference_steps": 1, "seed": 1}, None, None)
    assert len(tab.work.recent_jobs([job.id] * 100)) == MAX_HISTORY


def test_the_same_again_of_what_is_gone_is_a_line(tab):
    (only,) = updates(tab.repeat("video_gone", []))
    assert "no such video" in only[RESULT]
    with pytest.raises(RequestError):
        tab.work.jobs.get("video_gone")
    assert "no such video" in tab.select_job("video_gone")[0]


def test_another_model_brings_its_own_values(tab):
    seconds, steps, *_ = tab.select_model("tiny")
    assert (seconds["value"], steps) == (1.0, 3)

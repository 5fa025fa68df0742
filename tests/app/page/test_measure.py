"""The evaluation tab: uploaded clips are evaluated as by sonovid evaluate."""

import asyncio
import shutil

import gradio as gr
import pytest

from sonovid import media
from sonovid.app.jobs import Jobs
from sonovid.app.page.examples import render
from sonovid.app.page.measure import MeasureActions, MeasureTab


@pytest.fixture
def measuring(settings):
    jobs = Jobs(settings)
    yield MeasureActions(jobs)
    jobs.close()


@pytest.fixture
def uploaded(measuring, film, tone):
    """A video with sound, twice, as Gradio stores uploads."""
    folder = measuring.jobs.folder / "page"
    places = []
    sound = media.read(tone)
    for place in ("0", "1"):
        (folder / place).mkdir(parents=True)
        places.append(str(media.mux(film, sound.waveform, sound.sample_rate, folder / place / f"film{place}.mp4")))
    return places


def test_two_clips_become_a_table(measuring, uploaded):
    html = measuring.evaluate_files(uploaded[:1], uploaded[1:], ["events", "clap_score"])
    assert "<table>" in html
    assert "onsets_f1" in html
    assert "skipped, and why" in html
    assert str(measuring.jobs.folder) not in html
    assert not list(measuring.folder.iterdir())


def test_what_cannot_be_measured_is_one_line(measuring, uploaded, tmp_path):
    with gr.Blocks():
        tab = MeasureTab(measuring)

    def said(clips, reference=(), metrics=()):
        return asyncio.run(tab.measure(list(clips), list(reference), list(metrics)))

    assert "upload at least one" in said([])
    assert "other paths are not read" in said(["/etc/passwd"])
    assert "the limit is 200" in said(uploaded * 101)
    twice = measuring.jobs.folder / "page" / "2"
    twice.mkdir()
    shutil.copy(uploaded[0], twice / "film0.mp4")
    assert "two files have this name" in said([uploaded[0], str(twice / "film0.mp4")])
    (twice / "no.mp4").write_text("no film")
    line = said([str(twice / "no.mp4")])
    assert 'role="alert"' in line
    assert str(measuring.jobs.folder) not in line
    assert not list(measuring.folder.iterdir())


def test_examples_are_a_silent_film_and_a_sound(tmp_path):
    made = render(tmp_path / "examples")
    film, sound = media.probe(made.video), media.probe(made.audio)
    assert (film.has_video, film.has_audio, film.duration) == (True, False, 2)
    assert (sound.has_video, sound.has_audio) == (False, True)
    before = made.video.stat().st_mtime_ns
    assert render(tmp_path / "examples") == made
    assert made.video.stat().st_mtime_ns == before

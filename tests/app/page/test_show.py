"""HTML of jobs: nothing that a user wrote is taken for HTML."""

from sonovid.app.jobs import Live
from sonovid.app.page import show
from sonovid.app.store import Job

EVIL = '<script>alert("x")</script>'


def job(**changed):
    held = {"sequence": 1, "id": "video_1", "status": "queued", "created_at": 0.0, "started_at": None, "completed_at": None}
    return Job(**(held | {"request": {"prompt": EVIL, "seed": 1}, "sources": {}} | changed))


def test_what_users_write_is_escaped():
    assert EVIL not in show.error(EVIL)
    assert EVIL not in show.grid([EVIL], [[EVIL]])
    assert EVIL not in show.ended(job(status="failed", error=EVIL))


def test_progress_in_words_and_as_a_bar():
    assert "next in the queue" in show.in_progress(job(), None, 0)
    assert "3 before this one" in show.in_progress(job(), None, 3)
    running = job(status="in_progress")
    assert "Starting" in show.in_progress(running, Live(), 0)
    html = show.in_progress(running, Live(step=3, steps=10, strip=b"jpeg"), 0)
    assert "step 3 of 10" in html
    assert 'value="3" max="10"' in html
    assert "data:image/jpeg;base64,anBlZw==" in html
    assert 'role="status"' in html
    assert "Writing" in show.in_progress(running, Live(step=10, steps=10), 0)


def test_a_job_in_one_line():
    assert show.label(job(request={"prompt": "p" * 100, "seed": 4})).endswith("… (seed 4)")
    assert "sound for a video" in show.label(job(request={"seed": 4}, sources={"source_video": "a.mp4"}))

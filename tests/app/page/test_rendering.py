"""HTML of jobs: user input is escaped."""

from sonovid.app.jobs import JobProgress
from sonovid.app.page import rendering
from sonovid.app.store import Job

EVIL = '<script>alert("x")</script>'


def job(**changed):
    held = {"sequence": 1, "id": "video_1", "status": "queued", "created_at": 0.0, "started_at": None, "completed_at": None}
    return Job(**(held | {"request": {"prompt": EVIL, "seed": 1}, "sources": {}} | changed))


def test_what_users_write_is_escaped():
    assert EVIL not in rendering.render_error(EVIL)
    assert EVIL not in rendering.render_table([EVIL], [[EVIL]])
    assert EVIL not in rendering.render_result(job(status="failed", error=EVIL))


def test_progress_in_words_and_as_a_bar():
    assert "next in the queue" in rendering.render_progress(job(), None, 0)
    assert "3 before this one" in rendering.render_progress(job(), None, 3)
    running = job(status="in_progress")
    assert "Starting" in rendering.render_progress(running, JobProgress(), 0)
    html = rendering.render_progress(running, JobProgress(step=3, steps=10, frame_strip=b"jpeg"), 0)
    assert "step 3 of 10" in html
    assert 'value="3" max="10"' in html
    assert "data:image/jpeg;base64,anBlZw==" in html
    assert 'role="status"' in html
    assert "Writing" in rendering.render_progress(running, JobProgress(step=10, steps=10), 0)


def test_a_job_in_one_line():
    assert rendering.job_title(job(request={"prompt": "p" * 100, "seed": 4})).endswith("… (seed 4)")
    assert "sound for a video" in rendering.job_title(job(request={"seed": 4}, sources={"source_video": "a.mp4"}))

"""Workers: jobs of a stopped server are resumed, and errors of a job do not end a worker."""

import time
from dataclasses import replace

import numpy as np
from starlette.testclient import TestClient

from sonovid import media
from sonovid.app.jobs import Jobs
from sonovid.app.models import Models
from sonovid.app.server import create_app
from sonovid.app.worker import Workers

URL = "http://127.0.0.1:7860"


def test_what_is_in_progress_when_the_server_stops_is_made_by_the_next(settings, ended, tmp_path):
    with TestClient(create_app(settings, page=False), base_url=URL) as client:
        ask = {"prompt": "x", "seed": 4, "num_inference_steps": 25}
        whole = client.post("/v1/videos", json=ask).json()["id"]
        assert ended(client, whole)["status"] == "completed"
        first = client.get(f"/v1/videos/{whole}/content").content
        begun = client.post("/v1/videos", json=ask).json()["id"]
        while client.get(f"/v1/videos/{begun}").json()["progress"] < 1:
            time.sleep(0.005)
    with TestClient(create_app(settings, page=False), base_url=URL) as client:
        assert client.get(f"/v1/videos/{begun}").json()["status"] != "completed"
        assert ended(client, begun)["status"] == "completed"
        again = client.get(f"/v1/videos/{begun}/content").content
        assert client.get(f"/v1/videos/{whole}/content").content == first
    # The same clip; a signature, where files are signed, carries the time.
    clips = []
    for name, content in (("first", first), ("again", again)):
        (tmp_path / f"{name}.mp4").write_bytes(content)
        clips.append(media.read(tmp_path / f"{name}.mp4"))
    assert np.array_equal(clips[0].frames, clips[1].frames)
    assert np.array_equal(clips[0].waveform, clips[1].waveform)


def test_a_job_for_a_model_that_is_no_longer_offered_fails_with_a_line(settings, ended):
    jobs = Jobs(settings)
    job = jobs.submit({"prompt": "x", "model": "gone", "seed": 1})
    jobs.close()
    with TestClient(create_app(settings, page=False), base_url=URL) as client:
        told = ended(client, job.id)
        assert told["status"] == "failed"
        assert "not offered here" in told["error"]["message"]


def test_a_worker_outlives_faults_and_says_them_without_places(settings, film):
    models, jobs = Models(settings.models, settings.devices), Jobs(settings)
    lost = jobs.submit({"prompt": "x", "model": "tiny", "seed": 1, "nonsense": 1})
    there = jobs.submit({"prompt": "x", "model": "tiny", "seed": 1})
    gone = jobs.submit({"model": "tiny", "seed": 1})
    (jobs.files / gone.id / "source_video.mp4").write_bytes(b"damaged since it was probed")
    jobs.store._update(gone.id, sources='{"source_video": "source_video.mp4"}')
    workers = Workers(jobs, models)
    workers.start()
    while not all(jobs.get(job.id).is_finished for job in (lost, there, gone)):
        time.sleep(0.01)
    workers.stop()
    assert [jobs.get(job.id).status for job in (lost, there, gone)] == ["failed", "completed", "failed"]
    assert jobs.get(gone.id).error.startswith("source_video: ")
    assert str(settings.folder) not in jobs.get(gone.id).error
    jobs.close()


def test_two_devices_are_two_workers_on_one_queue(settings):
    # The same device under two names.
    settings = replace(settings, devices=("cpu", "cpu:0"))
    models, jobs = Models(settings.models, settings.devices), Jobs(settings)
    ids = [jobs.submit({"prompt": "x", "model": "tiny", "seed": i, "num_inference_steps": 300}).id for i in range(2)]
    workers = Workers(jobs, models)
    workers.start()
    until = time.monotonic() + 30
    while jobs.counts()["in_progress"] < 2:
        assert time.monotonic() < until, "both jobs were never in progress together"
        time.sleep(0.002)
    for one in ids:
        jobs.delete(one)
    workers.stop()
    assert not list(jobs.files.iterdir())
    jobs.close()

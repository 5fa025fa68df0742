"""The job queue without a model: limits, order, cancellation, clean-up and restarts."""

import threading
from dataclasses import replace

import pytest

from sonovid.app.errors import RequestError
from sonovid.app.jobs import Jobs
from sonovid.app.uploads import read_chunks, save_upload


@pytest.fixture
def jobs(settings):
    jobs = Jobs(replace(settings, max_queue=3))
    yield jobs
    jobs.close()


def write(jobs, job, size=1000):
    (jobs.files / job.id / "video-0.mp4").write_bytes(b"x" * size)


def test_jobs_are_taken_in_order_and_answered_with_their_place(jobs):
    first, second = jobs.submit({"seed": 1}), jobs.submit({"seed": 2})
    assert (jobs.num_ahead(first), jobs.num_ahead(second)) == (0, 1)
    taken = jobs.start_next(0)
    assert (taken.id, taken.status) == (first.id, "in_progress")
    assert jobs.num_ahead(jobs.get(second.id)) == 0
    assert jobs.start_next(0).id == second.id
    assert jobs.start_next(0) is None


def test_a_full_queue_says_when_to_come_back_and_keeps_nothing(jobs, film):
    for _ in range(3):
        jobs.submit({})
    upload = save_upload(read_chunks(film), "source_video", "film.mp4", jobs.incoming, jobs.settings)
    with pytest.raises(RequestError, match="queue is full") as told:
        jobs.submit({}, [upload])
    assert (told.value.status, int(told.value.headers["Retry-After"]) >= 1) == (429, True)
    assert not list(jobs.incoming.iterdir())
    assert len(list(jobs.files.iterdir())) == 3
    jobs.start_next(0)
    jobs.submit({})


def test_no_more_are_let_in_however_many_ask_at_once(jobs):
    told = []

    def ask():
        try:
            told.append(jobs.submit({}).id)
        except RequestError:
            told.append(None)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([one for one in told if one]) == 3
    assert jobs.counts()["queued"] == 3


def test_a_waiting_job_vanishes_and_one_in_progress_is_told_to_stop(jobs):
    first, second = jobs.submit({}), jobs.submit({})
    taken = jobs.start_next(0)
    jobs.delete(second.id)
    jobs.delete(first.id)
    assert not (jobs.files / second.id).exists()
    # The worker may be writing: it removes the files itself.
    assert (jobs.files / first.id).exists()
    assert jobs.live[first.id].stop.is_set()
    jobs.fail(taken, "deleted")
    assert not (jobs.files / first.id).exists()
    assert jobs.live == {}
    with pytest.raises(RequestError, match="no such video"):
        jobs.get(first.id)


def test_a_job_deleted_while_its_last_file_is_written_leaves_nothing(jobs):
    jobs.submit({})
    taken = jobs.start_next(0)
    jobs.delete(taken.id)
    write(jobs, taken)
    jobs.finish(taken, [{}])
    assert not (jobs.files / taken.id).exists()


def test_jobs_survive_a_restart(settings, film):
    jobs = Jobs(settings)
    upload = save_upload(read_chunks(film), "source_video", "film.mp4", jobs.incoming, settings)
    done, begun, waiting = jobs.submit({"seed": 1}), jobs.submit({"seed": 2}, [upload]), jobs.submit({"seed": 3})
    taken = jobs.start_next(0)
    write(jobs, taken)
    jobs.finish(taken, [{"fps": "8"}])
    assert jobs.start_next(0).id == begun.id
    (jobs.incoming / "half").write_text("an upload that a killed server left")
    (jobs.files / "video_lost").mkdir()
    jobs.close()  # As a killed process: nothing is put back.

    jobs = Jobs(settings)
    assert jobs.get(done.id).clips == [{"fps": "8"}]
    assert jobs.clip_file(jobs.get(done.id), 0, "video").is_file()
    assert [jobs.start_next(0).id for _ in range(2)] == [begun.id, waiting.id]
    assert jobs.source(jobs.get(begun.id), "source_video").read_bytes() == film.read_bytes()
    assert not list(jobs.incoming.iterdir())
    assert not (jobs.files / "video_lost").exists()
    jobs.close()


def test_a_job_that_is_put_back_keeps_its_place_and_its_source(jobs, film):
    upload = save_upload(read_chunks(film), "source_video", "film.mp4", jobs.incoming, jobs.settings)
    first = jobs.submit({}, [upload])
    jobs.submit({})
    taken = jobs.start_next(0)
    write(jobs, taken)
    jobs.requeue(taken)
    assert [path.name for path in (jobs.files / first.id).iterdir()] == ["source_video.mp4"]
    assert jobs.start_next(0).id == first.id


def test_old_jobs_and_the_oldest_of_too_many_bytes_are_removed(settings):
    now = [1000.0]
    jobs = Jobs(replace(settings, max_age=100, max_folder=2500), clock=lambda: now[0])
    ids = []
    for _ in range(3):
        jobs.submit({})
        taken = jobs.start_next(0)
        write(jobs, taken)
        jobs.finish(taken, [{}])
        ids.append(taken.id)
        now[0] += 10
    # Three kilobytes are more than fit: the first went.
    assert jobs.store.ids() == set(ids[1:])
    assert sorted(path.name for path in jobs.files.iterdir()) == sorted(ids[1:])
    waiting = jobs.submit({})
    now[0] = 1000.0 + 10 + 101
    jobs.sweep()
    assert jobs.store.ids() == {ids[2], waiting.id}
    jobs.close()


def test_the_same_again_brings_its_source(jobs, film):
    upload = save_upload(read_chunks(film), "source_video", "film.mp4", jobs.incoming, jobs.settings)
    job = jobs.submit({"seed": 1, "prompt": "x"}, [upload])
    other = jobs.resubmit(job.id, {"seed": 2})
    assert other.request == {"seed": 2, "prompt": "x"}
    assert jobs.source(other, "source_video").read_bytes() == film.read_bytes()
    jobs.source(job, "source_video").unlink()
    with pytest.raises(RequestError, match="upload it again"):
        jobs.resubmit(job.id, {"seed": 3})
    assert not list(jobs.incoming.iterdir())


def test_files_are_there_for_finished_jobs_alone(jobs):
    job = jobs.submit({})
    with pytest.raises(RequestError, match="it is queued") as told:
        jobs.clip_file(job, 0, "video")
    assert told.value.status == 409
    taken = jobs.start_next(0)
    write(jobs, taken)
    jobs.finish(taken, [{}])
    done = jobs.get(job.id)
    assert jobs.clip_file(done, 0, "video").is_file()
    for index in (-1, 1):
        with pytest.raises(RequestError, match="expected a number from 0 to 0"):
            jobs.clip_file(done, index, "video")

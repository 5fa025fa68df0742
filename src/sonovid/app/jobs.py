"""The job queue: submission, progress, cancellation, look-up, and removal of old jobs."""

import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sonovid.app.errors import RequestError
from sonovid.app.settings import Settings
from sonovid.app.store import FAILED, IN_PROGRESS, QUEUED, Job, Store
from sonovid.app.uploads import Upload

log = logging.getLogger(__name__)
DEFAULT_JOB_SECONDS = 5.0  # Assumed duration of a job before the first one has finished.
WATCH_SECONDS = 3.0  # How long a job counts as watched after a request for its progress.


@dataclass
class JobProgress:
    """The progress of a running job.

    Args:
        step: Sampling steps that are done.
        steps: Sampling steps in total, 0 until known.
        frame_strip: The latest intermediate frames, as JPEG.
        last_viewed: When a client last asked for the progress, by the monotonic clock.
        stop: Set to stop the job.
    """

    step: int = 0
    steps: int = 0
    frame_strip: bytes | None = None
    last_viewed: float = 0.0
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def is_watched(self) -> bool:
        """Whether a client currently watches the job."""
        return time.monotonic() - self.last_viewed < WATCH_SECONDS

    @property
    def percent(self) -> int:
        """Share of the sampling steps that are done, in percent; at most 99 until the file is written."""
        return min(99, 100 * self.step // self.steps) if self.steps else 0


class Jobs:
    """All jobs of one server folder.

    folder/jobs.sqlite holds the table, folder/jobs/ID the files of one job, and folder/incoming uploads that are not queued yet.
    After a crash jobs in progress are queued again, and files without a job are removed.

    Args:
        settings: The server's settings.
        clock: The current time in seconds since 1970.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time):
        self.settings, self.clock = settings, clock
        self.folder = settings.folder.absolute()
        self.incoming, self.files = self.folder / "incoming", self.folder / "jobs"
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.store = Store(self.folder / "jobs.sqlite")
        self.live: dict[str, JobProgress] = {}
        self._changed = threading.Condition()
        self._times: list[float] = []
        shutil.rmtree(self.incoming, ignore_errors=True)
        self.incoming.mkdir()
        self.files.mkdir(exist_ok=True)
        self.store.requeue()
        known = self.store.ids()
        for left in self.files.iterdir():
            if left.name not in known:
                shutil.rmtree(left, ignore_errors=True)
        self.sweep()

    def close(self) -> None:
        """Close the database."""
        self.store.close()

    # --- for clients ---------------------------------------------------------------------------------------------------

    def submit(self, request: dict[str, Any], uploads: Sequence[Upload] = ()) -> Job:
        """Queue a job, which takes over the uploads.

        Raises:
            RequestError: the queue is full. The uploads are removed then.
        """
        job_id = f"video_{secrets.token_hex(16)}"
        own = self.files / job_id
        try:
            with self.store.transaction():
                self._check_room()
                own.mkdir()
                sources = {upload.field: f"{upload.field}{upload.path.suffix}" for upload in uploads}
                for upload in uploads:
                    os.replace(upload.path, own / sources[upload.field])
                job = self.store.add(job_id, self.clock(), request, sources)
        except BaseException:
            shutil.rmtree(own, ignore_errors=True)
            for upload in uploads:
                upload.remove()
            raise
        with self._changed:
            self._changed.notify_all()
        return job

    def resubmit(self, job_id: str, changes: dict[str, Any]) -> Job:
        """Queue a copy of a job with some fields changed.

        Raises:
            RequestError: no such job, its uploads are gone, or the queue is full.
        """
        job = self.get(job_id)
        uploads = []
        try:
            for name in job.sources:
                copied = self.incoming / f"{secrets.token_hex(8)}{Path(job.sources[name]).suffix}"
                shutil.copyfile(self.source(job, name), copied)
                uploads.append(Upload(name, copied, job.sources[name]))
        except OSError:
            for upload in uploads:
                upload.remove()
            raise RequestError(f"{job_id}: its source file is gone; upload it again", 410) from None
        return self.submit(job.request | changes, uploads)

    def get(self, job_id: str) -> Job:
        """A job by its id.

        Raises:
            RequestError: there is none.
        """
        job = self.store.get(job_id)
        if job is None:
            raise RequestError(f"{job_id[:60]}: no such video; it was deleted, has expired or never existed", 404)
        return job

    def watch(self, job: Job) -> JobProgress | None:
        """The progress of a running job, or None. The job counts as watched, so that intermediate frames are drawn."""
        live = self.live.get(job.id)
        if live is not None:
            live.last_viewed = time.monotonic()
        return live

    def delete(self, job_id: str) -> None:
        """Remove a job and its files. A job in progress stops at its next sampling step.

        Raises:
            RequestError: there is none.
        """
        # In one transaction, so that no worker takes the job in between.
        with self.store.transaction():
            self.get(job_id)
            live = self.live.get(job_id)
            self.store.remove(job_id)
        if live is not None:
            # Its worker may be writing a file and removes all of them.
            live.stop.set()
        else:
            shutil.rmtree(self.files / job_id, ignore_errors=True)

    def clip_file(self, job: Job, index: int, variant: str) -> Path:
        """The path of a finished file.

        Args:
            job: The job.
            index: Number of the clip.
            variant: "video" or "preview".

        Raises:
            RequestError: the job is not finished, there is no such clip, or its file is gone.
        """
        if job.status != "completed":
            why = job.error if job.status == FAILED else f"it is {job.status}"
            raise RequestError(f"{job.id}: there is no video: {why}", 409)
        if not 0 <= index < len(job.clips):
            raise RequestError(f"index={index}: expected a number from 0 to {len(job.clips) - 1}", 404, param="index")
        path = self.files / job.id / f"{variant}-{index}{'.mp4' if variant == 'video' else '.png'}"
        if not path.is_file():
            raise RequestError(f"{job.id}: its file is gone", 410)
        return path

    def source(self, job: Job, name: str) -> Path:
        """The path of a job's source file."""
        return self.files / job.id / job.sources[name]

    def num_ahead(self, job: Job) -> int:
        """How many jobs wait before this one."""
        return self.store.count(QUEUED, before=job.sequence) if job.status == QUEUED else 0

    def retry_after(self) -> int:
        """Estimated seconds until there is room in the queue: the mean duration of a job over the number of workers."""
        mean = sum(self._times) / len(self._times) if self._times else DEFAULT_JOB_SECONDS
        return max(1, round(mean / len(self.settings.devices)))

    def _check_room(self) -> None:
        waiting = self.store.count(QUEUED)
        if waiting >= self.settings.max_queue:
            raise RequestError(f"the queue is full: {waiting} jobs wait; try again later", 429, retry_after=self.retry_after())

    # --- for workers ---------------------------------------------------------------------------------------------------

    def start_next(self, timeout: "float | int") -> Job | None:
        """Take the next job, which is in progress then. None if there is none for `timeout` seconds."""
        with self._changed:
            job = self._start_oldest()
            if job is None:
                self._changed.wait(timeout)
                job = self._start_oldest()
            return job

    def _start_oldest(self) -> Job | None:
        with self.store.transaction():
            job = self.store.first(QUEUED)
            if job is None:
                return None
            self.store.mark_started(job.id, self.clock())
            self.live[job.id] = JobProgress()
            return self.store.get(job.id)

    def finish(self, job: Job, clips: list[dict[str, Any]]) -> None:
        """Complete a job. If it was deleted meanwhile, its files are removed."""
        size = sum(path.stat().st_size for path in (self.files / job.id).iterdir())
        now = self.clock()
        with self.store.transaction():
            self.live.pop(job.id, None)
            self.store.mark_completed(job.id, now, clips, size)
            there = self.store.get(job.id) is not None
        if not there:
            shutil.rmtree(self.files / job.id, ignore_errors=True)
        self._times = [*self._times[-19:], now - (job.started_at or now)]
        self.sweep()

    def fail(self, job: Job, error: str) -> None:
        """Mark a job as failed and remove its files."""
        shutil.rmtree(self.files / job.id, ignore_errors=True)
        with self.store.transaction():
            self.live.pop(job.id, None)
            self.store.mark_failed(job.id, self.clock(), error)

    def requeue(self, job: Job) -> None:
        """Queue a job again at its old position, because the server stops."""
        with self.store.transaction():
            self.live.pop(job.id, None)
            self.store.requeue(job.id)
            there = self.store.get(job.id) is not None
        for left in (self.files / job.id).glob("*"):
            if not there or left.name not in job.sources.values():
                left.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove jobs that are too old, and the oldest ones while their total size is too large."""
        ended = self.store.list_finished()
        total = sum(job.size for job in ended)
        for job in ended:
            old = self.clock() - (job.completed_at or 0) > self.settings.max_age
            if old or total > self.settings.max_folder:
                self.store.remove(job.id)
                shutil.rmtree(self.files / job.id, ignore_errors=True)
                total -= job.size

    def counts(self) -> dict[str, int]:
        """The numbers of waiting and of running jobs."""
        return {status: self.store.count(status) for status in (QUEUED, IN_PROGRESS)}

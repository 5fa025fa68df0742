"""The queue: jobs are taken in, worked on one after another, cancelled, looked up, and removed when they are old."""

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
DEFAULT_JOB_SECONDS = 5.0  # Seconds a job is taken to last before any has been seen.
WATCH_SECONDS = 3.0  # Seconds for which a look at a job counts as watching it.


@dataclass
class JobProgress:
    """What is known of a job in progress. strip: JPEG of the frames as they emerge. looked: when somebody last asked for it."""

    step: int = 0
    steps: int = 0
    frame_strip: bytes | None = None
    last_viewed: float = 0.0
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def is_watched(self) -> bool:
        """Whether somebody looks at it now."""
        return time.monotonic() - self.last_viewed < WATCH_SECONDS

    @property
    def percent(self) -> int:
        """Of the sampling steps that are done; 100 is left to the file that is written."""
        return min(99, 100 * self.step // self.steps) if self.steps else 0


class Jobs:
    """All jobs of one folder.

    folder/jobs.sqlite holds the table, folder/jobs/ID the files of one job, folder/incoming files that are not queued yet. What a
    killed process left half done is put back: jobs in progress are queued again, files that belong to no job are removed.
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
        """Let go of the folder."""
        self.store.close()

    # --- for clients ---------------------------------------------------------------------------------------------------

    def submit(self, request: dict[str, Any], uploads: Sequence[Upload] = ()) -> Job:
        """Queue a job; the uploads become its own.

        Raises:
            Refused: the queue is full. The uploads are removed then.
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
        """The same job once more, with some fields changed.

        Raises:
            Refused: no such job, its uploads are gone, or the queue is full.
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
            raise RequestError(f"{job_id}: what was given to it is gone; give it again", 410) from None
        return self.submit(job.request | changes, uploads)

    def get(self, job_id: str) -> Job:
        """A job by its id.

        Raises:
            Refused: there is none.
        """
        job = self.store.get(job_id)
        if job is None:
            raise RequestError(f"{job_id[:60]}: no such video; it was deleted, has expired, or never was", 404)
        return job

    def watch(self, job: Job) -> JobProgress | None:
        """How far a job in progress is; it counts as watched, so that its emerging frames are drawn."""
        live = self.live.get(job.id)
        if live is not None:
            live.last_viewed = time.monotonic()
        return live

    def delete(self, job_id: str) -> None:
        """Remove a job and its files; one in progress stops at its next sampling step.

        Raises:
            Refused: there is none.
        """
        # Together, so that no worker takes the job in between.
        with self.store.transaction():
            self.get(job_id)
            live = self.live.get(job_id)
            self.store.remove(job_id)
        if live is not None:
            # Its worker removes the files: it may be writing one.
            live.stop.set()
        else:
            shutil.rmtree(self.files / job_id, ignore_errors=True)

    def clip_file(self, job: Job, index: int, variant: str) -> Path:
        """A finished file. variant: "video" or "preview".

        Raises:
            Refused: not finished, or no such clip.
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
        """The file that was given to a job."""
        return self.files / job.id / job.sources[name]

    def num_ahead(self, job: Job) -> int:
        """How many jobs wait before this one."""
        return self.store.count(QUEUED, before=job.sequence) if job.status == QUEUED else 0

    def retry_after(self) -> int:
        """Seconds until there is likely room: what one job takes, less where there are several workers."""
        mean = sum(self._times) / len(self._times) if self._times else DEFAULT_JOB_SECONDS
        return max(1, round(mean / len(self.settings.devices)))

    def _check_room(self) -> None:
        waiting = self.store.count(QUEUED)
        if waiting >= self.settings.max_queue:
            raise RequestError(f"the queue is full: {waiting} jobs wait; try again later", 429, retry_after=self.retry_after())

    # --- for workers ---------------------------------------------------------------------------------------------------

    def start_next(self, timeout: "float | int") -> Job | None:
        """The next job, now in progress; None where there is none for `timeout` seconds."""
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
        """A job is done; its files are those of a deleted one where somebody deleted it meanwhile."""
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
        """A job came to nothing, or was deleted: nothing of it is left but the reason."""
        shutil.rmtree(self.files / job.id, ignore_errors=True)
        with self.store.transaction():
            self.live.pop(job.id, None)
            self.store.mark_failed(job.id, self.clock(), error)

    def requeue(self, job: Job) -> None:
        """A job is queued again, at its old place: the server stops, and the next one will make it."""
        with self.store.transaction():
            self.live.pop(job.id, None)
            self.store.requeue(job.id)
            there = self.store.get(job.id) is not None
        for left in (self.files / job.id).glob("*"):
            if not there or left.name not in job.sources.values():
                left.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove jobs that ended too long ago, and the oldest ones where they are too large together."""
        ended = self.store.list_finished()
        total = sum(job.size for job in ended)
        for job in ended:
            old = self.clock() - (job.completed_at or 0) > self.settings.max_age
            if old or total > self.settings.max_folder:
                self.store.remove(job.id)
                shutil.rmtree(self.files / job.id, ignore_errors=True)
                total -= job.size

    def counts(self) -> dict[str, int]:
        """How many jobs wait and are in progress."""
        return {status: self.store.count(status) for status in (QUEUED, IN_PROGRESS)}

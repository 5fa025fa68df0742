"""The workers: one thread per device, which takes jobs from the queue and runs them."""

import logging
import threading

from sonovid.app.errors import one_line
from sonovid.app.generation import JobStopped, StepCallback, generate_clips
from sonovid.app.jobs import Jobs
from sonovid.app.models import Models
from sonovid.app.request import VideoRequest
from sonovid.app.store import Job

log = logging.getLogger(__name__)
POLL_SECONDS = 0.5  # Interval at which the queue and the stop flag are checked.
SWEEP_SECONDS = 60.0  # Interval at which old jobs are removed.


class Workers:
    """All workers of a server.

    Args:
        jobs: The queue.
        models: The models.
    """

    def __init__(self, jobs: Jobs, models: Models):
        self.jobs, self.models = jobs, models
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the threads."""
        for device in self.jobs.settings.devices:
            thread = threading.Thread(target=self._run, args=(device,), name=f"sonovid-{device}", daemon=True)
            thread.start()
            self._threads.append(thread)
        thread = threading.Thread(target=self._run_sweep, name="sonovid-sweep", daemon=True)
        thread.start()
        self._threads.append(thread)

    def stop(self) -> None:
        """Stop at the next sampling step. Jobs in progress are queued again."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _run(self, device: str) -> None:
        while not self._stop.is_set():
            job = self.jobs.start_next(POLL_SECONDS)
            if job is not None:
                self._run_job(job, device)

    def _run_sweep(self) -> None:
        while not self._stop.wait(SWEEP_SECONDS):
            self.jobs.sweep()

    def _run_job(self, job: Job, device: str) -> None:
        """Run one job. No error of a job ends the worker."""
        live = self.jobs.live[job.id]
        try:
            request = VideoRequest(**job.request)
            # A job from an earlier run of the server may name a model that is no longer offered.
            card = self.models.card(request.model)
            sources = {name: self.jobs.source(job, name) for name in job.sources}
            folder = self.jobs.files / job.id
            pipe = self.models.pipeline(card.id, device)
            clips = generate_clips(pipe, card, request, sources, folder, StepCallback(live, self._stop.is_set))
        except JobStopped:
            if live.stop.is_set():
                self.jobs.fail(job, "deleted")
            else:
                self.jobs.requeue(job)
        except Exception as error:
            if not isinstance(error, ValueError):
                log.exception("%s failed", job.id)
            self.jobs.fail(job, describe_error(error, job, self.jobs))
        else:
            self.jobs.finish(job, clips)


def describe_error(error: Exception, job: Job, jobs: Jobs) -> str:
    """An error's line without paths of this machine. Uploads are named by their field."""
    line = one_line(error)
    for name in job.sources:
        line = line.replace(str(jobs.source(job, name)), name)
    return line.replace(f"{jobs.files / job.id}/", "")

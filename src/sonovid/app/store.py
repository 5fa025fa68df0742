"""The table of jobs in SQLite, which survives restarts of the server."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

QUEUED, IN_PROGRESS, COMPLETED, FAILED = STATUSES = ("queued", "in_progress", "completed", "failed")
VERSION = 1
TABLE = """
create table if not exists jobs (
    sequence integer primary key autoincrement,
    id text not null unique,
    status text not null,
    created_at real not null,
    started_at real,
    completed_at real,
    request text not null,
    sources text not null,
    clips text not null default '[]',
    error text,
    bytes integer not null default 0
);
create index if not exists by_status on jobs (status, sequence);
"""
COLUMNS = "sequence, id, status, created_at, started_at, completed_at, request, sources, clips, error, bytes"


@dataclass(frozen=True)
class Job:
    """One job.

    Args:
        sequence: Its position in the queue.
        id: Its id.
        status: One of `STATUSES`.
        created_at: When it was submitted, in seconds since 1970.
        started_at: When a worker took it, or None.
        completed_at: When it ended, or None.
        request: The fields of `VideoRequest`.
        sources: File names by field.
        clips: Descriptions of the results, see `generation.generate_clips`.
        error: Why it failed, or None.
        size: Bytes of its folder once it is completed.
    """

    sequence: int
    id: str
    status: str
    created_at: float
    started_at: float | None
    completed_at: float | None
    request: dict[str, Any]
    sources: dict[str, str]
    clips: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None
    size: int = 0

    @property
    def is_finished(self) -> bool:
        """Whether it is completed or failed."""
        return self.status in (COMPLETED, FAILED)


def _to_job(row: tuple) -> Job:
    return Job(*row[:6], *(json.loads(text) for text in row[6:9]), *row[9:])


class Store:
    """A table of jobs in one file. All methods are thread-safe.

    Args:
        path: The SQLite file.

    Raises:
        ValueError: another server uses the file, or it is not such a table.
    """

    def __init__(self, path: Path):
        self._lock = threading.RLock()
        self._database = sqlite3.connect(path, timeout=1, check_same_thread=False, isolation_level=None)
        try:
            # The lock is held while the connection is open, so that no two servers use one folder.
            self._database.execute("pragma locking_mode = exclusive")
            self._database.execute("pragma journal_mode = wal")
            self._database.execute("pragma synchronous = normal")
            version = self._database.execute("pragma user_version").fetchone()[0]
            if version not in (0, VERSION):
                raise ValueError(f"{path}: jobs of another version of sonovid ({version}); choose another --folder")
            self._database.executescript(TABLE)
            self._database.execute(f"pragma user_version = {VERSION}")
        except sqlite3.OperationalError:
            self._database.close()
            raise ValueError(f"{path.parent}: another sonovid app uses this folder; choose another --folder") from None
        except sqlite3.DatabaseError as error:
            self._database.close()
            raise ValueError(f"{path}: not a table of jobs ({error}); choose another --folder") from None

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction that excludes other threads and is rolled back on an exception."""
        with self._lock:
            self._database.execute("begin immediate")
            try:
                yield
            except BaseException:
                self._database.execute("rollback")
                raise
            self._database.execute("commit")

    def add(self, job_id: str, created_at: float, request: dict[str, Any], sources: dict[str, str]) -> Job:
        """Add a queued job."""
        values = (job_id, QUEUED, created_at, json.dumps(request), json.dumps(sources))
        with self._lock:
            self._database.execute("insert into jobs (id, status, created_at, request, sources) values (?, ?, ?, ?, ?)", values)
            found = self.get(job_id)
        assert found is not None
        return found

    def get(self, job_id: str) -> Job | None:
        """A job by its id, or None."""
        return next(iter(self._select("where id = ?", job_id)), None)

    def first(self, status: str) -> Job | None:
        """The oldest job with a status, or None."""
        return next(iter(self._select("where status = ? order by sequence limit 1", status)), None)

    def page(self, after: str | None, limit: int, *, newest_first: bool = True) -> list[Job]:
        """Up to `limit` jobs that follow the job `after`."""
        order, sign = ("desc", "<") if newest_first else ("asc", ">")
        if after is None:
            return self._select(f"order by sequence {order} limit ?", limit)
        where = f"where sequence {sign} (select sequence from jobs where id = ?) order by sequence {order} limit ?"
        return self._select(where, after, limit)

    def list_finished(self) -> list[Job]:
        """Completed and failed jobs, those that ended first at the beginning."""
        return self._select("where status in (?, ?) order by completed_at, sequence", COMPLETED, FAILED)

    def ids(self) -> set[str]:
        """The ids of all jobs."""
        with self._lock:
            return {row[0] for row in self._database.execute("select id from jobs")}

    def count(self, status: str, before: int | None = None) -> int:
        """The number of jobs with a status. before: only those before this sequence number."""
        with self._lock:
            query = "select count(*) from jobs where status = ?" + ("" if before is None else " and sequence < ?")
            return self._database.execute(query, (status,) if before is None else (status, before)).fetchone()[0]

    def mark_started(self, job_id: str, now: float) -> None:
        """Mark a job as taken by a worker."""
        self._update(job_id, status=IN_PROGRESS, started_at=now)

    def requeue(self, job_id: str | None = None) -> None:
        """Put a job, or all jobs in progress, back to its place in the queue."""
        if job_id is not None:
            self._update(job_id, status=QUEUED, started_at=None)
            return
        with self._lock:
            self._database.execute("update jobs set status = ?, started_at = null where status = ?", (QUEUED, IN_PROGRESS))

    def mark_completed(self, job_id: str, now: float, clips: list[dict[str, Any]], size: int) -> None:
        """Mark a job as completed."""
        self._update(job_id, status=COMPLETED, completed_at=now, clips=json.dumps(clips), bytes=size)

    def mark_failed(self, job_id: str, now: float, error: str) -> None:
        """Mark a job as failed."""
        self._update(job_id, status=FAILED, completed_at=now, error=error, sources="{}")

    def remove(self, job_id: str) -> bool:
        """Delete a job; returns whether there was one."""
        with self._lock:
            return self._database.execute("delete from jobs where id = ?", (job_id,)).rowcount > 0

    def _update(self, job_id: str, **values: Any) -> None:
        names = ", ".join(f"{name} = ?" for name in values)
        with self._lock:
            self._database.execute(f"update jobs set {names} where id = ?", (*values.values(), job_id))

    def _select(self, rest: str, *values: Any) -> list[Job]:
        with self._lock:
            return [_to_job(row) for row in self._database.execute(f"select {COLUMNS} from jobs {rest}", values)]

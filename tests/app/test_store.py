"""The table of jobs: persistence and exclusive use."""

import sqlite3
import subprocess
import sys
import textwrap

import pytest

from sonovid.app.store import COMPLETED, FAILED, IN_PROGRESS, QUEUED, Store


def test_jobs_stay_when_the_store_is_opened_again(tmp_path):
    store = Store(tmp_path / "jobs.sqlite")
    store.add("a", 1.0, {"prompt": "x"}, {"source_video": "source_video.mp4"})
    store.add("b", 2.0, {"prompt": "y"}, {})
    store.add("c", 3.0, {}, {})
    store.mark_started("a", 4.0)
    store.mark_completed("a", 5.0, [{"fps": "8"}], 77)
    store.mark_started("b", 6.0)
    store.close()

    store = Store(tmp_path / "jobs.sqlite")
    first = store.get("a")
    assert (first.status, first.clips, first.size, first.started_at, first.completed_at) == (
        COMPLETED,
        [{"fps": "8"}],
        77,
        4.0,
        5.0,
    )
    assert first.sources == {"source_video": "source_video.mp4"}
    assert store.first(IN_PROGRESS).id == "b"
    store.requeue()
    assert [store.first(QUEUED).id, store.count(QUEUED)] == ["b", 2]
    store.mark_failed("b", 7.0, "why")
    assert (store.get("b").status, store.get("b").error) == (FAILED, "why")
    assert [job.id for job in store.list_finished()] == ["a", "b"]
    assert store.remove("c")
    assert not store.remove("c")
    assert store.ids() == {"a", "b"}
    store.close()


def test_pages_follow_one_another(tmp_path):
    store = Store(tmp_path / "jobs.sqlite")
    for number in range(5):
        store.add(str(number), 0.0, {}, {})
    assert [job.id for job in store.page(None, 2)] == ["4", "3"]
    assert [job.id for job in store.page("3", 2)] == ["2", "1"]
    assert [job.id for job in store.page("3", 9, newest_first=False)] == ["4"]
    assert store.page("none", 9) == []
    store.close()


def test_a_transaction_is_all_or_nothing(tmp_path):
    store = Store(tmp_path / "jobs.sqlite")

    def fail():
        with store.transaction():
            store.add("a", 0.0, {}, {})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert store.get("a") is None
    store.close()


def test_another_process_is_kept_out_until_the_first_is_gone(tmp_path):
    path = tmp_path / "jobs.sqlite"
    store = Store(path)
    script = textwrap.dedent(f"""
        from pathlib import Path
        from sonovid.app.store import Store
        try:
            Store(Path({str(path)!r}))
            print("open")
        except ValueError as error:
            print(error)
    """)

    def other():
        return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert "another sonovid app uses this folder" in other()
    store.close()
    assert other() == "open\n"


def test_foreign_files_are_refused(tmp_path):
    (tmp_path / "text").write_text("no database, but long enough to be taken for one" * 50)
    with pytest.raises(ValueError, match="not a table of jobs"):
        Store(tmp_path / "text")
    with sqlite3.connect(tmp_path / "newer") as database:
        database.execute("pragma user_version = 9")
    database.close()
    with pytest.raises(ValueError, match="another version"):
        Store(tmp_path / "newer")

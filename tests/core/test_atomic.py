"""Atomic writes: no partial files, and existing data stays until the new data is complete."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from sonovid.core import atomic


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "clip.mp4"
    with atomic.atomic_file(path) as aside:
        assert aside.suffix == ".mp4"
        assert aside.parent == tmp_path
        aside.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert names(tmp_path) == ["clip.mp4"]


def test_an_error_keeps_the_existing_file_and_leaves_no_other(tmp_path):
    path = tmp_path / "a.json"
    atomic.write_text(path, "before")
    with pytest.raises(RuntimeError), atomic.atomic_file(path) as aside:  # noqa: PT012
        aside.write_text("half")
        raise RuntimeError
    assert path.read_text() == "before"
    assert names(tmp_path) == ["a.json"]


def test_two_writers_of_one_file_do_not_interfere(tmp_path):
    path = tmp_path / "a"
    with atomic.atomic_file(path) as one, atomic.atomic_file(path) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"


def test_a_folder_that_does_not_exist_is_an_error(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        atomic.write_text(tmp_path / "nowhere" / "a", "")


def test_a_folder_is_replaced_atomically(tmp_path):
    final = tmp_path / "deep" / "model"
    atomic.replace_folder(final, lambda folder: (folder / "a").write_text("1"))
    atomic.replace_folder(final, lambda folder: (folder / "b").write_text("2"))
    assert names(final) == ["b"]
    assert names(final.parent) == ["model"]


def test_an_error_keeps_the_existing_folder(tmp_path):
    final = tmp_path / "model"
    atomic.replace_folder(final, lambda folder: (folder / "a").write_text("1"))

    def failing(folder):
        (folder / "a").write_text("2")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        atomic.replace_folder(final, failing)
    assert (final / "a").read_text() == "1"
    assert names(tmp_path) == ["model"]


def killed_while_writing(folder, call):
    """A process that is killed in the middle of writing in `folder`."""
    script = "import os, signal, sys, pathlib\nfrom sonovid import atomic\nfolder = pathlib.Path(sys.argv[1])\n" + call
    done = subprocess.run([sys.executable, "-c", script, str(folder)], check=False)
    assert done.returncode == -signal.SIGKILL


KILLED = {
    "file": "with atomic.atomic_file(folder / 'a.json') as aside:\n    os.kill(os.getpid(), signal.SIGKILL)",
    "folder": "atomic.replace_folder(folder / 'model', lambda aside: os.kill(os.getpid(), signal.SIGKILL))",
}


@pytest.mark.parametrize("kind", KILLED)
def test_the_next_writer_removes_leftovers_of_a_killed_process(tmp_path, kind):
    killed_while_writing(tmp_path, KILLED[kind])
    assert len(names(tmp_path)) == 1
    if kind == "file":
        atomic.write_text(tmp_path / "another.json", "")
    else:
        atomic.replace_folder(tmp_path / "model", lambda folder: None)
    assert names(tmp_path) == ["another.json" if kind == "file" else "model"]


def test_temporary_files_of_a_running_process_are_kept(tmp_path):
    with atomic.atomic_file(tmp_path / "a") as aside:
        atomic.remove_leftovers(tmp_path)
        atomic.remove_leftovers(tmp_path, exclusive=True)
        assert aside.exists()
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    left = tmp_path / f".a.aside-{atomic._machine_id()}-{other.pid}-00000000"
    left.touch()
    atomic.remove_leftovers(tmp_path)
    assert left.exists()
    other.communicate(b"\n")
    atomic.remove_leftovers(tmp_path)
    assert not left.exists()


def test_leftovers_of_another_machine_are_removed_after_a_day_or_with_exclusive(tmp_path):
    fresh, stale = (tmp_path / f".model.aside-0123abcd-1-{token}" for token in ("00000000", "11111111"))
    for left in (fresh, stale):
        left.mkdir()
    os.utime(stale, (time.time() - atomic.STALE_SECONDS - 60,) * 2)
    atomic.remove_leftovers(tmp_path)
    assert names(tmp_path) == [fresh.name]
    atomic.remove_leftovers(tmp_path, exclusive=True)
    assert names(tmp_path) == []


def test_a_folder_that_a_killed_process_moved_away_is_restored(tmp_path):
    moved = tmp_path / ".model.before-0123abcd-1-00000000"
    moved.mkdir()
    (moved / "a").write_text("1")
    os.utime(moved, (time.time() - atomic.STALE_SECONDS - 60,) * 2)
    final = tmp_path / "model"

    def failing(folder):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        atomic.replace_folder(final, failing)
    assert (final / "a").read_text() == "1"


needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
FULL = "a cannot be written: no space is left on the disk .* MB were free.; what was there before is unchanged"


@needs_full
def test_a_full_disk_is_a_one_line_error_and_keeps_existing_data(tmp_path):
    path = tmp_path / "a"
    atomic.write_text(path, "before")
    with (
        pytest.raises(atomic.DiskFullError, match=FULL) as raised,
        atomic.atomic_file(path),
        open("/dev/full", "w") as device,
    ):
        device.write("no room")
    assert "\n" not in str(raised.value)
    assert raised.value.errno == errno.ENOSPC
    assert path.read_text() == "before"
    assert names(tmp_path) == ["a"]


LIMITED = """
import resource, sys, pathlib, torch
from safetensors.torch import save_file
from sonovid.core import atomic
folder = pathlib.Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
atomic.replace_folder(folder, lambda aside: save_file({"w": torch.zeros(100_000)}, aside / "w.safetensors"))
"""


def test_disk_full_errors_of_other_libraries_are_recognised(tmp_path):
    # A limit on the size of files stands for a full disk: safetensors raises no OSError for either.
    folder = tmp_path / "a"
    atomic.replace_folder(folder, lambda aside: (aside / "w").write_text("before"))
    done = subprocess.run([sys.executable, "-c", LIMITED, str(folder)], capture_output=True, text=True, check=False)
    assert "DiskFullError: " in done.stderr
    assert "a cannot be written: the file is larger than this system allows" in done.stderr.splitlines()[-1]
    assert (folder / "w").read_text() == "before"
    assert names(tmp_path) == ["a"]
    full = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert atomic.disk_full_errno(full) == errno.ENOSPC


def test_other_errors_are_not_disk_full_errors(tmp_path):
    assert atomic.disk_full_errno(ValueError("os error 2")) is None
    assert atomic.disk_full_errno(FileNotFoundError(2, "no such file")) is None
    with pytest.raises(ValueError, match="other"), atomic.disk_full_errors(tmp_path / "a"):
        raise ValueError("other")


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o007, 0o660), (0o077, 0o600)])
def test_safetensors_get_the_permissions_of_other_files(tmp_path, umask, mode):
    """safetensors itself writes files that only their owner can read."""

    def write(aside):
        (aside / "inner").mkdir()
        (aside / "config.json").write_text("{}")
        for path in (aside / "w.safetensors", aside / "inner" / "w.safetensors"):
            save_file({"w": torch.zeros(3)}, path)

    before = os.umask(umask)
    try:
        atomic.replace_folder(tmp_path / "model", write)
        with atomic.atomic_file(tmp_path / "latents.safetensors") as aside:
            save_file({"w": torch.zeros(3)}, aside)
    finally:
        os.umask(before)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name: path.stat().st_mode & 0o777 for path in files} == dict.fromkeys(
        ("config.json", "w.safetensors", "latents.safetensors"), mode
    )


def test_permissions_that_someone_chose_stay(tmp_path):
    def write(aside):
        (aside / "w").write_text("")
        (aside / "w").chmod(0o400)

    atomic.replace_folder(tmp_path / "model", write)
    assert (tmp_path / "model" / "w").stat().st_mode & 0o777 == 0o400

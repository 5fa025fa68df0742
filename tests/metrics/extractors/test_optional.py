"""Optional libraries of the detectors: numba's cache is filled by one process at a time."""

import subprocess
import sys

import filelock
import pytest

from sonovid.metrics.extractors.optional import lock_path

COMPILE = "from sonovid.metrics.extractors.optional import compile_detectors; print('begun', flush=True); compile_detectors()"


def test_compilation_waits_for_another_process():
    pytest.importorskip("librosa")
    with filelock.FileLock(lock_path()):
        child = subprocess.Popen([sys.executable, "-c", COMPILE], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "begun\n"
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(1)
    assert child.wait(120) == 0
    child.stdout.close()

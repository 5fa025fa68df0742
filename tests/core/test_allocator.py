"""A process keeps the memory that it frees: blocks that are allocated again cause no page faults."""

import subprocess
import sys

import pytest

BLOCKS = """
import ctypes, resource, sys
from sonovid.core.allocator import keep_freed_memory
if sys.argv[1] == "keep" and not keep_freed_memory():
    sys.exit(3)
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
def use():
    block = libc.malloc(64 * 1024**2)
    ctypes.memset(block, 1, 64 * 1024**2)
    libc.free(block)
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(mode):
    done = subprocess.run([sys.executable, "-c", BLOCKS, mode], capture_output=True, text=True, check=False)
    if done.returncode == 3:
        pytest.skip("not glibc")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_blocks_are_used_again_without_page_faults():
    assert page_faults("keep") < page_faults("default") / 10

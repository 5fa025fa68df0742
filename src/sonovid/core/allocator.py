"""Memory allocation of a process that trains on a CPU."""

import ctypes
import os
import sys

# Parameters of glibc's mallopt(3), from malloc.h.
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX, ARENA_MAX = -1, -2, -4, -8
TOP_PAD_BYTES = 512 * 1024**2


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees, and use huge pages for tensors.

    glibc returns large blocks to the kernel when they are freed. A training step allocates the same blocks again, and the kernel
    fills their pages with zeros: about half of the time of a step on a CPU. The process then holds the most memory that it ever
    needed until it ends. Call it before torch is imported: torch reads the setting for huge pages once.

    Returns:
        Whether the C library took the settings; it does on Linux with glibc.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = {MMAP_MAX: 0, TRIM_THRESHOLD: -1, TOP_PAD: TOP_PAD_BYTES, ARENA_MAX: 1}
    accepted = [mallopt(parameter, value) == 1 for parameter, value in settings.items()]
    return all(accepted)

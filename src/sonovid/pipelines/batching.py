"""Clips and windows that run through a network together: how many at once, put into one batch, and halved where memory ends."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeVar

import torch
from torch import Tensor

from sonovid.core.av import AV
from sonovid.core.condition import Condition

# More clips at once are no faster: on a CPU their activations no longer fit into its caches, a GPU is busy with these.
MAX_BATCH_ON_CPU, MAX_BATCH_ELSEWHERE = 16, 32
# What a network holds at one moment, in largest layers: measured, 2 to 4 for the networks of this package.
LAYERS_IN_MEMORY = 6
# What decoding holds of a clip, in sizes of its frames as floats: 64 channels at full size, four times.
FRAMES_IN_MEMORY = 256
# The share of free memory that may be used.
MEMORY_SHARE = 0.5

NO_STREAMS = AV(None, None)
Value = TypeVar("Value")
Item = TypeVar("Item")


@dataclass(frozen=True)
class WindowJob:
    """One window of one clip, or several as one batch.

    clip, window: their numbers, one entry for each sample. condition: what the network is told. null: what guidance leads away
    from, or None where there is nothing to guide by. noises: unit noise. given: clean latents of given streams, None for those
    that are generated.
    """

    clip: tuple[int, ...]
    window: tuple[int, ...]
    condition: Condition
    null: Condition | None
    noises: AV
    given: AV = NO_STREAMS

    def __len__(self) -> int:
        return len(self.clip)


def cat_pairs(pairs: Iterable[AV]) -> AV:
    """Pairs of tensors as one pair of batches; a stream that is None is so in all of them."""
    return AV(*(None if streams[0] is None else torch.cat(streams) for streams in zip(*pairs, strict=True)))


def concat_jobs(jobs: list[WindowJob]) -> WindowJob:
    """Several jobs as one."""
    if len(jobs) == 1:
        return jobs[0]
    nulls = [job.null for job in jobs if job.null is not None]
    return WindowJob(
        sum((job.clip for job in jobs), ()),
        sum((job.window for job in jobs), ()),
        reduce(Condition.concat, (job.condition for job in jobs)),
        reduce(Condition.concat, nulls) if nulls else None,
        cat_pairs(job.noises for job in jobs),
        cat_pairs(job.given for job in jobs),
    )


def group_jobs(jobs: Iterable[WindowJob], size: int) -> Iterator[list[WindowJob]]:
    """Jobs in their order, at most `size` at once; those that are guided and those that are not do not mix."""
    held: list[WindowJob] = []
    for job in jobs:
        if held and (len(held) == size or (held[0].null is None) != (job.null is None)):
            yield held
            held = []
        held.append(job)
    if held:
        yield held


def split_on_oom(run: Callable[[list[Item]], list[Value]], items: list[Item]) -> list[Value]:
    """What `run` makes of the items, in halves where a GPU has no memory for all of them at once.

    Raises:
        torch.OutOfMemoryError: there is none for a single one.
    """
    try:
        return run(items)
    except torch.OutOfMemoryError:
        if len(items) == 1:
            raise
    # Outside the handler, where the error no longer holds what was computed.
    torch.cuda.empty_cache()
    middle = len(items) // 2
    return [*split_on_oom(run, items[:middle]), *split_on_oom(run, items[middle:])]


def check_batch_size(size: Any) -> "int | str":
    """A batch size, or "auto".

    Raises:
        ValueError: neither.
    """
    if size == "auto":
        return "auto"
    if isinstance(size, bool) or not hasattr(size, "__index__") or size < 1:
        raise ValueError(f'batch_size={size!r}: expected a whole number above zero, or "auto"')
    return int(size)


def find_batch_size(network: torch.nn.Module, evaluate: Callable[[], Any], device: torch.device) -> int:
    """How many clips fit into memory at once, by what one of them takes: the most that is any faster, or fewer.

    Args:
        network: the denoiser. evaluate: runs it once for one clip, guided as it will be. device: where it runs.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        evaluate()
        each = torch.cuda.max_memory_allocated(device) - before
        return _num_fitting(free_memory(device), each, MAX_BATCH_ELSEWHERE)
    each = LAYERS_IN_MEMORY * largest_layer_bytes(network, evaluate)
    return _num_fitting(free_memory(device), each, MAX_BATCH_ON_CPU if device.type == "cpu" else MAX_BATCH_ELSEWHERE)


def codec_batch_size(pixels: int, batch: int, device: torch.device) -> int:
    """How many windows run through a codec at once. pixels: of all frames of one window together."""
    most = min(batch, 4) if device.type == "cpu" else batch
    return _num_fitting(free_memory(device), 3 * 4 * pixels * FRAMES_IN_MEMORY, most)


def _num_fitting(free: int, each: int, most: int) -> int:
    return max(1, min(most, int(MEMORY_SHARE * free / max(1, each))))


def free_memory(device: torch.device) -> int:
    """Bytes that can be had on a device; of one that does not say, those of the machine."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    import psutil

    return psutil.virtual_memory().available


def largest_layer_bytes(network: torch.nn.Module, evaluate: Callable[[], Any]) -> int:
    """The most bytes that go into and come out of one layer of a network in an evaluation."""
    most = 0

    def note(_: torch.nn.Module, inputs: Any, output: Any) -> None:
        nonlocal most
        tensors = [one for one in (*inputs, output) if isinstance(one, Tensor)]
        most = max(most, sum(one.numel() * one.element_size() for one in tensors))

    leaves = [module for module in network.modules() if next(module.children(), None) is None]
    hooks = [module.register_forward_hook(note) for module in leaves]
    try:
        evaluate()
    finally:
        for hook in hooks:
            hook.remove()
    return most

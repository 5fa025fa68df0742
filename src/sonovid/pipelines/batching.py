"""Batches of windows: how many run at once, how they are concatenated, and how a batch is split when memory runs out."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeVar

import torch
from torch import Tensor

from sonovid.core.av import AV, NO_STREAMS
from sonovid.core.condition import Condition

# Larger batches are no faster: on a CPU the activations no longer fit into its caches; a GPU is saturated at this size.
MAX_BATCH_ON_CPU, MAX_BATCH_ELSEWHERE = 4, 32
# Memory of one evaluation, in sizes of the largest layer. Measured: 2 to 4 for the networks of this package.
LAYERS_IN_MEMORY = 6
# Memory for decoding one clip, in sizes of its frames as floats: 64 channels at full size, four times.
FRAMES_IN_MEMORY = 256
# Share of the free memory that may be used.
MEMORY_SHARE = 0.5

Value = TypeVar("Value")
Item = TypeVar("Item")


@dataclass(frozen=True)
class WindowJob:
    """One window to sample, or several as one batch.

    Args:
        clips: index of the clip, one entry for each sample.
        windows: index of the window within its clip, one entry for each sample.
        condition: the condition of the denoiser.
        null_condition: the condition that guidance leads away from; None: no guidance.
        noise: standard normal noise of both streams.
        conditioning: clean latents of the conditioning streams; None for streams that are generated.
    """

    clips: tuple[int, ...]
    windows: tuple[int, ...]
    condition: Condition
    null_condition: Condition | None
    noise: AV
    conditioning: AV = NO_STREAMS

    def __len__(self) -> int:
        return len(self.clips)


def cat_pairs(pairs: Iterable[AV]) -> AV:
    """Concatenate pairs of tensors along the batch axis. A stream must be None in all pairs or in none."""
    return AV(*(None if streams[0] is None else torch.cat(streams) for streams in zip(*pairs, strict=True)))


def concat_jobs(jobs: list[WindowJob]) -> WindowJob:
    """Concatenate jobs to one batch."""
    if len(jobs) == 1:
        return jobs[0]
    nulls = [job.null_condition for job in jobs if job.null_condition is not None]
    return WindowJob(
        sum((job.clips for job in jobs), ()),
        sum((job.windows for job in jobs), ()),
        reduce(Condition.concat, (job.condition for job in jobs)),
        reduce(Condition.concat, nulls) if nulls else None,
        cat_pairs(job.noise for job in jobs),
        cat_pairs(job.conditioning for job in jobs),
    )


def group_jobs(jobs: Iterable[WindowJob], size: int) -> Iterator[list[WindowJob]]:
    """Group jobs, in order, into lists of at most `size`. Jobs with and without guidance are not mixed."""
    group: list[WindowJob] = []
    for job in jobs:
        if group and (len(group) == size or (group[0].null_condition is None) != (job.null_condition is None)):
            yield group
            group = []
        group.append(job)
    if group:
        yield group


def split_on_oom(run: Callable[[list[Item]], list[Value]], items: list[Item]) -> list[Value]:
    """Call `run` on the items; where a GPU runs out of memory, on each half of them instead.

    Raises:
        torch.OutOfMemoryError: a single item does not fit.
    """
    try:
        return run(items)
    except torch.OutOfMemoryError:
        if len(items) == 1:
            raise
    # Outside the handler: there the exception would keep the tensors of the failed call alive.
    torch.cuda.empty_cache()
    middle = len(items) // 2
    return [*split_on_oom(run, items[:middle]), *split_on_oom(run, items[middle:])]


def check_batch_size(size: Any) -> "int | str":
    """Check a batch size: a positive integer or "auto".

    Raises:
        ValueError: neither.
    """
    if size == "auto":
        return "auto"
    if isinstance(size, bool) or not hasattr(size, "__index__") or size < 1:
        raise ValueError(f'batch_size={size!r}: expected a whole number above zero, or "auto"')
    return int(size)


def find_batch_size(network: torch.nn.Module, evaluate: Callable[[], Any], device: torch.device) -> int:
    """The largest useful batch size that fits into memory, from the memory that one sample takes.

    Args:
        network: the denoiser.
        evaluate: evaluates it once for one sample, with the guidance that will be used.
        device: the device of the evaluation.
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
    """Number of windows that run through a codec at once.

    Args:
        pixels: pixels of all frames of one window.
        batch: the largest number allowed.
        device: the device of the codec.
    """
    most = min(batch, 4) if device.type == "cpu" else batch
    return _num_fitting(free_memory(device), 3 * 4 * pixels * FRAMES_IN_MEMORY, most)


def _num_fitting(free: int, each: int, most: int) -> int:
    return max(1, min(most, int(MEMORY_SHARE * free / max(1, each))))


def free_memory(device: torch.device) -> int:
    """Free bytes of a device; the machine's free memory for devices that do not report theirs."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    import psutil

    return psutil.virtual_memory().available


def largest_layer_bytes(network: torch.nn.Module, evaluate: Callable[[], Any]) -> int:
    """Bytes of the inputs and outputs of the largest layer of a network.

    Args:
        network: the network.
        evaluate: evaluates it once.
    """
    largest = 0

    def record(_: torch.nn.Module, inputs: Any, output: Any) -> None:
        nonlocal largest
        tensors = [one for one in (*inputs, output) if isinstance(one, Tensor)]
        largest = max(largest, sum(one.numel() * one.element_size() for one in tensors))

    leaves = [module for module in network.modules() if next(module.children(), None) is None]
    hooks = [module.register_forward_hook(record) for module in leaves]
    try:
        evaluate()
    finally:
        for hook in hooks:
            hook.remove()
    return largest

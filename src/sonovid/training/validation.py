"""Validation: losses of the EMA weights on held-out samples, true pairs against shuffled pairs, and generated samples."""

import torch
from torch import nn

from sonovid.core import atomic
from sonovid.training.batches import to_device
from sonovid.training.job import Job
from sonovid.training.logs import LossMeter
from sonovid.training.run import TrainingRun
from sonovid.training.seeding import derive_seed


def run_validation(run: TrainingRun) -> dict[str, float]:
    """Validate the EMA weights and write the job's validation samples. Called by all processes; the main process works.

    Returns:
        Losses by name; empty in the other processes and without held-out samples.
    """
    values: dict[str, float] = {}
    with torch.random.fork_rng(devices=[run.device] if run.device.type == "cuda" else []), run.accelerator.autocast():
        if run.job.validation_size:
            values = run.with_ema_weights(lambda model: validate(model, run.job, run.device)) or {}
        if (sample := run.job.sample) is not None:
            folder = run.out / "samples" / f"step-{run.step:06d}"
            with atomic.disk_full_errors(folder, "the checkpoints are intact"):
                run.with_ema_weights(lambda model: sample(model, folder, run.step))
    return values


@torch.no_grad()
def validate(model: nn.Module, job: Job, device: torch.device) -> dict[str, float]:
    """Mean losses on the held-out samples.

    Each batch has its own noise, which is the same at every validation.

    Returns:
        Losses under the names of `LossMeter`, and with the prefixes "true/" and "shuffled/" those of true and shuffled pairs.
    """
    assert job.validation is not None
    config, losses, true, shuffled = job.config, LossMeter(device), LossMeter(device), LossMeter(device)
    count = min(config.validate_size, job.validation_size)
    for i, first in enumerate(range(0, count, config.batch_size)):
        batch = to_device(job.validation(range(first, min(count, first + config.batch_size))), device)
        seed = derive_seed(config.seed, "validation", i)
        output = job.objective(model, batch, torch.Generator(device).manual_seed(seed))
        losses.add(output.losses, getattr(output, "times", None))
        if job.compare_pairs is not None and len(next(iter(output.losses.values()))) > 1:
            pairs = job.compare_pairs(model, batch, torch.Generator(device).manual_seed(seed))
            true.add(*pairs.true)
            shuffled.add(*pairs.shuffled)
    compared = {f"true/{name}": value for name, value in true.take().items()}
    compared |= {f"shuffled/{name}": value for name, value in shuffled.take().items()}
    return {**losses.take(), **{name: value for name, value in compared.items() if "_at/" not in name}}

"""Checkpoints of a training: safetensors and JSON, written atomically and verified by checksums when they are read."""

import json
import logging
import os
import re
import shutil
import zlib
from collections.abc import Container
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sonovid.core import atomic
from sonovid.training import sharding
from sonovid.training.distributed import ProcessGroup

log = logging.getLogger(__name__)

_NAME = re.compile(r"checkpoint-(\d+)")
_STATE = "state.json"
_INTACT = "the earlier checkpoints are intact, and resume=latest continues from the last of them"


def save(
    out: Path,
    step: int,
    tensors: dict[str, dict[str, Tensor]],
    state: dict[str, Any],
    *,
    keep: int = 2,
    milestones: Container[int] = (),
) -> Path:
    """Write the checkpoint `out/checkpoint-<step>`, then remove old ones.

    The folder is written under a temporary name and renamed, so a crash leaves the existing checkpoints intact.

    Args:
        out: folder of the run.
        step: number of steps done.
        tensors: one safetensors file for each entry.
        state: plain values for JSON.
        keep: see `prune`.
        milestones: see `prune`.

    Returns:
        The folder of the checkpoint.

    Raises:
        DiskFullError: the disk is full.
    """
    final = out / f"checkpoint-{step:06d}"

    def write(folder: Path) -> None:
        files = {}
        for name, group in tensors.items():
            path = folder / f"{name}.safetensors"
            # Copies, since safetensors refuses tensors that share storage (tied weights).
            save_file({key: value.detach().cpu().clone().contiguous() for key, value in group.items()}, path)
            files[path.name] = _sync_and_checksum(path)
        write_state(folder, {"step": step, "files": files, **state})

    with atomic.disk_full_errors(final, _INTACT):
        atomic.replace_folder(final, write)
    prune(out, step, keep=keep, milestones=milestones)
    return final


def save_sharded(
    out: Path,
    step: int,
    tensors: dict[str, dict[str, Tensor]],
    state: dict[str, Any],
    processes: ProcessGroup,
    *,
    keep: int = 2,
    milestones: Container[int] = (),
) -> Path:
    """Write a checkpoint as `save` does, in which each process writes its own shards. All processes must call this.

    Args:
        out, step, keep, milestones: see `save`. All processes must see the same folder.
        tensors: one folder of safetensors for each entry.
        state: plain values for JSON.
        processes: the processes of the run.

    Returns:
        The folder of the checkpoint.

    Raises:
        DiskFullError: the disk is full.
    """
    final = out / f"checkpoint-{step:06d}"

    def write_shards(folder: Path) -> dict[str, dict[str, int]]:
        files = {}
        for name, group in tensors.items():
            if processes.is_main:
                (folder / name).mkdir()
            processes.barrier()
            sharding.write_shards(folder / name, group, processes)
            processes.barrier()
            for path in sorted((folder / name).glob(f"shard-{processes.rank + 1:05d}-*.safetensors")):
                files[f"{name}/{path.name}"] = _sync_and_checksum(path)
        return {name: one for own in processes.gather(files) for name, one in own.items()}

    def write(folder: Path) -> None:
        files = write_shards(processes.broadcast(folder))
        write_state(folder, {"step": step, "files": files, **state})

    if processes.is_main:
        with atomic.disk_full_errors(final, _INTACT):
            atomic.replace_folder(final, write)
        prune(out, step, keep=keep, milestones=milestones)
    else:
        write_shards(processes.broadcast(Path()))
    processes.barrier()
    return final


def write_state(folder: Path, state: dict[str, Any]) -> None:
    """Write the plain values of a checkpoint and sync them to the disk."""
    with open(folder / _STATE, "w") as file:
        json.dump(state, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def prune(out: Path, step: int, *, keep: int, milestones: Container[int] = ()) -> None:
    """Remove old checkpoints of a run. Those after `step` are never removed.

    Args:
        out: folder of the run.
        step: the step of the checkpoint that was just written.
        keep: number of checkpoints to keep, that of `step` included; 0 keeps all.
        milestones: steps whose checkpoints are always kept.
    """
    older = [path for path in list_checkpoints(out) if step_of(path) < step and step_of(path) not in milestones]
    for path in older[: max(0, len(older) - (keep - 1))] if keep else []:
        shutil.rmtree(path)


def step_of(path: Path) -> int:
    """The step in the name of a checkpoint's folder."""
    return int(path.name.split("-")[1])


def _crc32(path: Path) -> int:
    crc = 0
    with open(path, "rb") as file:
        while chunk := file.read(1 << 22):
            crc = zlib.crc32(chunk, crc)
    return crc


def _sync_and_checksum(path: Path) -> dict[str, int]:
    """Sync a file to the disk and return its size and CRC-32."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
    return {"bytes": path.stat().st_size, "crc32": _crc32(path)}


def list_checkpoints(out: Path) -> list[Path]:
    """All checkpoints of a run, complete or not, in the order of their steps."""
    found = [path for path in Path(out).glob("checkpoint-*") if _NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=step_of)


def find_latest(out: Path) -> Path | None:
    """The last intact checkpoint of a run, or None. Damaged ones after it are skipped with a warning."""
    for path in reversed(list_checkpoints(out)):
        fault = find_damage(path)
        if fault is None:
            return path
        log.warning("skipping %s: %s", path, fault)
    return None


def find_damage(path: Path) -> str | None:
    """A description of the damage of a checkpoint, or None if it is intact."""
    try:
        state = json.loads((path / _STATE).read_text())
        files = state["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return f"{_STATE} is missing or unreadable"
    for name, expected in files.items():
        file = path / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != expected["bytes"]:
            return f"{name} has {file.stat().st_size} bytes of {expected['bytes']}"
        if _crc32(file) != expected["crc32"]:
            return f"{name} has a wrong checksum"
    return None


def load(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Read a checkpoint, whole or sharded, as whole tensors.

    Returns:
        The tensors by file or by folder of shards, and the plain values.

    Raises:
        ValueError: the checkpoint is missing or damaged.
    """
    state = read_state(path)
    if folders := shard_folders(state):
        return {name: sharding.read_whole(Path(path) / name) for name in folders}, state
    return {Path(name).stem: load_file(Path(path) / name) for name in state["files"]}, state


def shard_folders(state: dict[str, Any]) -> list[str]:
    """The folders of shards of a checkpoint with these plain values; empty if its tensors are whole."""
    return sorted({name.split("/")[0] for name in state["files"] if "/" in name})


def read_state(path: Path) -> dict[str, Any]:
    """The plain values of an intact checkpoint.

    Raises:
        ValueError: the checkpoint is missing or damaged.
    """
    path = Path(path)
    if not path.is_dir():
        raise ValueError(f"resume: no checkpoint folder at {path}; use 'latest', or a folder checkpoint-<step>")
    if fault := find_damage(path):
        raise ValueError(f"resume: {path} is a damaged checkpoint: {fault}; resume=latest uses the last intact one")
    return json.loads((path / _STATE).read_text())


def checkpoint_identity(path: Path) -> dict[str, Any]:
    """The step and the file checksums of an intact checkpoint, which identify it."""
    state = json.loads((Path(path) / _STATE).read_text())
    return {"step": state["step"], "files": state["files"]}


def find_start(out: Path, resume: "str | Path | None") -> Path | None:
    """The checkpoint from which a run starts. No existing run is ever overwritten.

    Args:
        out: folder of the run.
        resume: None: start a new run. "latest": the last intact checkpoint in `out`, or a new run if there is none. A path: that
            checkpoint. A checkpoint of another folder starts a branch; the same command, repeated, continues the branch.

    Returns:
        The checkpoint, or None for a new run.

    Raises:
        ValueError: `out` contains a run that `resume` does not continue, checkpoints after the given one, or only a model.
    """
    last = find_latest(out)
    if last is None and (out / "model").exists():
        raise ValueError(f"out={out}: contains a model but no intact checkpoint to resume from; use another folder")
    if resume is None and last is not None:
        raise ValueError(f"out={out}: already contains {last.name}; use resume=latest to continue it, or another folder")
    if resume in (None, "latest"):
        return last
    assert resume is not None
    given = Path(resume)
    if not given.is_dir():
        raise ValueError(f"resume={resume}: no such checkpoint folder; use 'latest', or a folder checkpoint-<step>")
    if last is None or given.resolve() == last.resolve():
        return given
    if given.resolve().parent == out.resolve():
        raise ValueError(
            f"resume={resume}: out={out} already contains {last.name}, which is newer and would be lost; use resume=latest to "
            f"continue it, or out=ANOTHER_FOLDER to branch from {given.name}"
        )
    if find_damage(given) is None and json.loads((last / _STATE).read_text()).get("branched_from") == checkpoint_identity(given):
        log.info("out=%s is a branch of %s; it continues from %s", out, given, last.name)
        return last
    raise ValueError(
        f"resume={resume}: out={out} already contains {last.name} of another run; use resume=latest to continue that run, or "
        "another out= for this one"
    )


def flatten_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Split an optimiser's state for saving.

    Returns:
        The tensors by "<index of the parameter>.<name>", and all other values as plain values.
    """
    state = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    plain: dict[str, Any] = {}
    for index, values in state["state"].items():
        for name, value in values.items():
            (tensors if isinstance(value, Tensor) else plain)[f"{index}.{name}"] = value
    return tensors, {"groups": state["param_groups"], "plain": plain}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], rest: dict[str, Any]) -> None:
    """The inverse of `flatten_optimizer`."""
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**tensors, **rest["plain"]}.items():
        index, name = key.split(".", 1)
        # Sharded checkpoints hold step counts as plain numbers.
        is_count = name == "step" and not isinstance(value, Tensor)
        state.setdefault(int(index), {})[name] = torch.tensor(float(value)) if is_count else value
    optimizer.load_state_dict({"state": state, "param_groups": rest["groups"]})

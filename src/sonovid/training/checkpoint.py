"""Checkpoints: written aside and renamed, read back whole or not at all.

Tensors are safetensors and the rest is JSON; no pickle is written or read.
"""

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

log = logging.getLogger(__name__)

_NAME = re.compile(r"checkpoint-(\d+)")
_STATE = "state.json"


def save(
    out: Path,
    step: int,
    tensors: dict[str, dict[str, Tensor]],
    state: dict[str, Any],
    *,
    keep: int = 2,
    milestones: Container[int] = (),
) -> Path:
    """Write `out/checkpoint-<step>`, one safetensors file for each entry of `tensors`, then remove older ones beyond `keep`.

    Checkpoints after this step and those at `milestones` are never removed. A crash at any point leaves the checkpoints that
    were there.

    Args:
        state: plain values for JSON.

    Raises:
        DiskFullError: there was no room for it.
    """
    final = out / f"checkpoint-{step:06d}"

    def write(aside: Path) -> None:
        files = {}
        for name, group in tensors.items():
            path = aside / f"{name}.safetensors"
            # A copy of each, since safetensors refuses tensors that share their storage (tied weights).
            save_file({key: value.detach().cpu().clone().contiguous() for key, value in group.items()}, path)
            files[path.name] = _seal(path)
        write_state(aside, {"step": step, "files": files, **state})

    with atomic.disk_full_errors(final, "the earlier checkpoints are whole, and resume=latest continues from the last of them"):
        atomic.replace_folder(final, write)
    prune(out, step, keep=keep, milestones=milestones)
    return final


def write_state(folder: Path, state: dict[str, Any]) -> None:
    """Write the plain values of a checkpoint, forced to the disk."""
    with open(folder / _STATE, "w") as file:
        json.dump(state, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def prune(out: Path, step: int, *, keep: int, milestones: Container[int] = ()) -> None:
    """Remove the checkpoints before `step` but for the last `keep` - 1 of them and those at `milestones`; keep = 0 keeps all."""
    older = [path for path in list_checkpoints(out) if step_of(path) < step and step_of(path) not in milestones]
    for path in older[: max(0, len(older) - (keep - 1))] if keep else []:
        shutil.rmtree(path)


def step_of(path: Path) -> int:
    """The step that a checkpoint's folder is named after."""
    return int(path.name.split("-")[1])


def _crc32(path: Path) -> int:
    crc = 0
    with open(path, "rb") as file:
        while chunk := file.read(1 << 22):
            crc = zlib.crc32(chunk, crc)
    return crc


def _seal(path: Path) -> dict[str, int]:
    """The size and the CRC-32 of a file, which is forced to the disk."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
    return {"bytes": path.stat().st_size, "crc32": _crc32(path)}


def list_checkpoints(out: Path) -> list[Path]:
    """The checkpoints of a run in the order of their steps, whole or not."""
    found = [path for path in Path(out).glob("checkpoint-*") if _NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=step_of)


def find_latest(out: Path) -> Path | None:
    """The last whole checkpoint of a run; those after it that are truncated or damaged are named in the log and passed over."""
    for path in reversed(list_checkpoints(out)):
        fault = find_damage(path)
        if fault is None:
            return path
        log.warning("passing over %s: %s", path, fault)
    return None


def find_damage(path: Path) -> str | None:
    """What is wrong with a checkpoint, or None where it is whole."""
    try:
        state = json.loads((path / _STATE).read_text())
        files = state["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return f"{_STATE} is missing or unreadable"
    for name, seal in files.items():
        file = path / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != seal["bytes"]:
            return f"{name} has {file.stat().st_size} bytes of {seal['bytes']}"
        if _crc32(file) != seal["crc32"]:
            return f"{name} is not what was written"
    return None


def load(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The tensors by file and the state of one checkpoint.

    Raises:
        ValueError: it is not whole.
    """
    path = Path(path)
    if not path.is_dir():
        raise ValueError(f"resume: no checkpoint folder at {path}; give 'latest', or a folder checkpoint-<step>")
    if fault := find_damage(path):
        raise ValueError(f"resume: {path} is not a whole checkpoint: {fault}; 'latest' takes the last whole one")
    state = json.loads((path / _STATE).read_text())
    return {Path(name).stem: load_file(path / name) for name in state["files"]}, state


def checkpoint_identity(path: Path) -> dict[str, Any]:
    """What tells a whole checkpoint from all others: its step and the seals of its files."""
    state = json.loads((Path(path) / _STATE).read_text())
    return {"step": state["step"], "files": state["files"]}


def find_start(out: Path, resume: "str | Path | None") -> Path | None:
    """The checkpoint from which a run in `out` continues, or None where it begins anew; nothing is ever written over.

    Args:
        resume: None: begin anew. "latest": the last whole checkpoint in `out`, None where there is none. A path: that checkpoint.
            A checkpoint of another folder is branched from; the same command, given again, continues the branch.

    Raises:
        ValueError: `out` holds a run that was not asked to be resumed, or checkpoints after the given one, or a model alone.
    """
    last = find_latest(out)
    if last is None and (out / "model").exists():
        raise ValueError(f"out={out}: holds a model but no whole checkpoint, so nothing can be resumed; give another folder")
    if resume is None and last is not None:
        raise ValueError(f"out={out}: already holds {last.name}; give resume=latest to continue it, or another folder")
    if resume in (None, "latest"):
        return last
    assert resume is not None
    given = Path(resume)
    if not given.is_dir():
        raise ValueError(f"resume={resume}: no checkpoint folder there; give 'latest', or a folder checkpoint-<step>")
    if last is None or given.resolve() == last.resolve():
        return given
    if given.resolve().parent == out.resolve():
        raise ValueError(
            f"resume={resume}: out={out} already holds {last.name}, which is newer and would be lost; give resume=latest to "
            f"continue it, or out=ANOTHER_FOLDER to branch from {given.name}"
        )
    if find_damage(given) is None and json.loads((last / _STATE).read_text()).get("branched_from") == checkpoint_identity(given):
        log.info("out=%s was branched from %s before; it continues from %s", out, given, last.name)
        return last
    raise ValueError(
        f"resume={resume}: out={out} already holds {last.name} of another run; give resume=latest to continue that one, or "
        "another out= for this one"
    )


def flatten_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of an optimiser's state by "<parameter>.<name>", and the rest of it as plain values."""
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
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": rest["groups"]})

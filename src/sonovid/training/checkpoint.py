"""Checkpoints: written aside and renamed, read back whole or not at all.

Tensors are safetensors and the rest is JSON; no pickle is written or read.
"""

import json
import logging
import os
import re
import shutil
import zlib
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

log = logging.getLogger(__name__)

_NAME = re.compile(r"checkpoint-(\d+)")
_STATE = "state.json"


def save(out: Path, step: int, tensors: dict[str, dict[str, Tensor]], state: dict[str, Any], *, keep: int = 2) -> Path:
    """Write `out/checkpoint-<step>`, one safetensors file for each entry of `tensors`, and remove all but the last `keep`.

    state: plain values for JSON. A crash at any point leaves the checkpoints that were there.
    """
    final = out / f"checkpoint-{step:06d}"
    aside = out / f"{final.name}.tmp"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    files = {}
    for name, group in tensors.items():
        path = aside / f"{name}.safetensors"
        # A copy of each, since safetensors refuses tensors that share their storage (tied weights).
        save_file({key: value.detach().cpu().clone().contiguous() for key, value in group.items()}, path)
        files[path.name] = _seal(path)
    with open(aside / _STATE, "w") as file:
        json.dump({"step": step, "files": files, **state}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    shutil.rmtree(final, ignore_errors=True)
    os.replace(aside, final)
    for path in listed(out)[:-keep] if keep else []:
        shutil.rmtree(path)
    return final


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


def listed(out: Path) -> list[Path]:
    """The checkpoints of a run in the order of their steps, whole or not."""
    found = [path for path in Path(out).glob("checkpoint-*") if _NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=lambda path: int(path.name.split("-")[1]))


def latest(out: Path) -> Path | None:
    """The last whole checkpoint of a run; those after it that are truncated or damaged are named in the log and passed over."""
    for path in reversed(listed(out)):
        fault = damage(path)
        if fault is None:
            return path
        log.warning("passing over %s: %s", path, fault)
    return None


def damage(path: Path) -> str | None:
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
    if fault := damage(path):
        raise ValueError(f"resume: {path} is not a whole checkpoint: {fault}; 'latest' takes the last whole one")
    state = json.loads((path / _STATE).read_text())
    return {Path(name).stem: load_file(path / name) for name in state["files"]}, state


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

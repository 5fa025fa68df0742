"""sonovid generate --ray: many inputs on a Ray cluster, or on this machine.

Each worker holds a pipeline, generates groups of clips and writes their files. Inputs, weights, the output folder and this
package must have the same paths on every machine. Ray repeats the group of a lost worker, and an interrupted call is finished by
repeating it.
"""

import argparse
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sonovid.cli.batch import BatchItem, write_group
from sonovid.core.ray_session import open_ray

# A clip that was written, or the error because of which it was not.
Outcome = tuple[BatchItem, str | None]


def generate_with_ray(
    args: argparse.Namespace,
    groups: Sequence[list[BatchItem]],
    folder: Path,
    load: Callable[[argparse.Namespace], Any],
    options: Callable[[argparse.Namespace, Any], dict[str, Any]],
    write: Callable[[argparse.Namespace, Any, BatchItem, Path, Any], None],
) -> Iterator[Outcome]:
    """Generate and write groups of clips, and yield each clip as its group is done.

    The groups are those of a single process, so that clips do not depend on the number of workers.

    Args:
        args: the options of the command.
        groups: the clips; those of a group are generated in one call.
        folder: the output folder.
        load, options, write: see `batch.run`.

    Raises:
        ValueError: Ray is not installed, or a worker cannot load the model.
    """
    with open_ray() as ray:
        cpus, gpus = (int(ray.cluster_resources().get(name, 0)) for name in ("CPU", "GPU"))
        rows = [{"group": json.dumps([asdict(item) for item in group])} for group in groups]
        settings = argparse.Namespace(**{name: value for name, value in vars(args).items() if not callable(value)})
        done = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            GroupWorker,
            fn_constructor_args=(settings, Path.cwd(), folder.absolute(), load, options, write),
            compute=ray.data.ActorPoolStrategy(size=max(1, min(len(rows), gpus or cpus // 4))),
            num_gpus=1 if gpus else 0,
        )
        for row in done.iter_rows():
            if row["fault"]:
                raise ValueError(row["fault"])
            for item, error in json.loads(row["outcomes"]):
                yield BatchItem(**item), error


class GroupWorker:
    """A Ray actor with a pipeline: a group of inputs to files in the output folder."""

    def __init__(
        self,
        args: argparse.Namespace,
        working_folder: Path,
        folder: Path,
        load: Callable[..., Any],
        options: Callable[..., Any],
        write: Callable[..., Any],
    ) -> None:
        # Relative paths of inputs and models are those of the command, and not of a cluster that was started elsewhere.
        if working_folder.is_dir():
            os.chdir(working_folder)
        self.args, self.folder, self.write = argparse.Namespace(**{**vars(args), "quiet": True}), folder, write
        self.fault = ""
        try:
            self.pipe = load(self.args)
            self.options = options(self.args, self.pipe)
        except ValueError as error:
            # Ray would start the worker again and again, and hide the error.
            self.fault = " ".join(str(error).split())

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        if self.fault:
            return {"outcomes": "[]", "fault": self.fault}
        group = [BatchItem(**item) for item in json.loads(row["group"])]
        written = write_group(self.args, self.pipe, group, self.folder, self.options, self.write)
        outcomes = [(asdict(item), error) for item, error in written]
        return {"outcomes": json.dumps(outcomes), "fault": ""}

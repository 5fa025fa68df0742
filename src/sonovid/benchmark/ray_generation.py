"""sonovid benchmark --ray: a system's clips of the held-out scenes on a Ray cluster, or on this machine.

Each worker holds a pipeline and writes the clips of whole groups, the same as those of a single process. The folder, the model
and this package must have the same paths on every machine. Ray repeats the group of a lost worker, and an interrupted run is
finished by repeating it.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sonovid.benchmark.generation import (
    GenerationConfig,
    count_parameters,
    generate_group,
    pending_groups,
    supports,
    write_facts,
)
from sonovid.benchmark.held_out import HeldOut
from sonovid.core import progress
from sonovid.core.av import Task
from sonovid.core.ray_session import open_ray


def generate_with_ray(
    load: Callable[[], Any], held_out: HeldOut, out: "str | Path", name: str, config: GenerationConfig | None = None
) -> int:
    """Generate the missing clips of one system, see `generation.generate_system`.

    Args:
        load: loads the pipeline in a worker.
        held_out: the scenes.
        out: the folder that `held_out.export` wrote.
        name: the system's name.
        config: the settings; default: `GenerationConfig()`.

    Returns:
        The number of generated clips.

    Raises:
        ValueError: Ray is not installed, or a worker cannot load the model or generate.
    """
    config, out = config or GenerationConfig(), Path(out).absolute()
    rows = [
        {"task": task.name, "numbers": json.dumps(numbers)}
        for task in config.tasks
        for numbers in pending_groups(held_out, out / name, task)
    ]
    if not rows:
        return 0
    facts: dict[str, Any] = {}
    count = 0
    with open_ray() as ray:
        cpus, gpus = (int(ray.cluster_resources().get(kind, 0)) for kind in ("CPU", "GPU"))
        done = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            Worker,
            fn_constructor_args=(load, held_out, out, name, config),
            compute=ray.data.ActorPoolStrategy(size=max(1, min(len(rows), gpus or cpus // 4))),
            num_gpus=1 if gpus else 0,
        )
        bar = progress.bar(total=len(rows), desc=name, unit="group", quiet=config.quiet)
        for row in done.iter_rows():
            if row["fault"]:
                raise ValueError(row["fault"])
            facts |= json.loads(row["facts"])
            count += row["count"]
            bar.update(1)
        bar.close()
    write_facts(out / name, facts)
    return count


class Worker:
    """A Ray actor with a pipeline that writes the clips of groups of scenes."""

    def __init__(self, load: Callable[[], Any], held_out: HeldOut, out: Path, name: str, config: GenerationConfig) -> None:
        self.held_out, self.out, self.name, self.config = held_out, out, name, config
        self.fault = ""
        try:
            self.pipe = load()
        except ValueError as error:
            # Ray would start the worker again and again, and hide the error.
            self.fault = " ".join(str(error).split())

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        answer = {"fault": self.fault, "facts": "{}", "count": 0}
        task, numbers = Task[row["task"]], json.loads(row["numbers"])
        if self.fault or not supports(self.pipe, task):
            return answer
        try:
            facts = generate_group(self.pipe, self.held_out, self.out, self.name, task, numbers, self.config)
        except ValueError as error:
            return {**answer, "fault": " ".join(str(error).split())}
        facts["parameters"] = count_parameters(self.pipe)
        return {**answer, "facts": json.dumps(facts), "count": len(numbers)}

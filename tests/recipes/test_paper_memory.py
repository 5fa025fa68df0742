"""The memory that published recipes state: the part of weights, gradients, AdamW and averages, counted on the meta device."""

import importlib
import re
import sys
from pathlib import Path

import pytest
import torch

from sonovid import recipes
from sonovid.training.memory import GIB

ROOT = Path(__file__).parents[2]
STATED = re.compile(r"Memory of a step on one GPU: ([\d.]+) GiB\s+for\s+weights,\s+gradients,\s+AdamW\s+and\s+averages")
NAMES = ("uniform.paper", "cmmd.paper", "cmmd.paper.contrastive", "svg.paper", "mmldm.landscape", "mmdiffusion.paper")


@pytest.fixture(scope="module")
def steps():
    sys.path.insert(0, str(ROOT))
    yield importlib.import_module("benchmarks.training.memory").STEPS
    sys.path.remove(str(ROOT))


@pytest.mark.parametrize("name", NAMES)
def test_the_stated_memory_is_that_of_the_network(name, steps):
    assert set(steps) == set(NAMES)
    training = recipes.get(name).training
    assert training.optimizer == "adamw"
    with torch.device("meta"):
        model = steps[name].build()
    weights = sum(one.nbytes for one in (*model.parameters(), *model.buffers()))
    trained = sum(one.nbytes for one in model.parameters() if one.requires_grad)
    counted = (weights + (4 if training.average else 3) * trained) / GIB
    # What the passes hold beside this: python -m benchmarks training.memory.
    text = (ROOT / "docs" / "uniform.md").read_text() if name == "uniform.paper" else recipes.RECIPES[name].__doc__
    assert float(STATED.search(text)[1]) == pytest.approx(counted, abs=0.06)

"""Sets of features whose distances other programs have computed, and those numbers; not part of the repository."""

import json
from pathlib import Path

import numpy as np
import pytest

PLACE = Path(__file__).parents[3] / "shared" / "metric_references.json"


def arithmetic():
    """The numbers, or the test is left out where they are not at hand."""
    if not PLACE.is_file():
        pytest.skip("reference numbers are not at hand")
    return json.loads(PLACE.read_text())["arithmetic"]


def sets():
    """Per set: its name, reference rows, generated rows, numbers."""
    for name, known in arithmetic()["frechet_and_kernel"].items():
        recipe = known["recipe"]
        rng = np.random.default_rng(recipe["seed"])
        d = recipe["d"]
        mixing = rng.standard_normal((d, d)) / np.sqrt(d)
        reference = rng.standard_normal((recipe["n"], d)) @ mixing
        generated = reference.copy()
        if not recipe["same"]:
            generated = recipe["shift"] + recipe["scale"] * (rng.standard_normal((recipe["m"], d)) @ mixing)
        assert np.isclose(generated.sum(), known["checksum"]["Y_sum"])
        yield name, reference, generated, known

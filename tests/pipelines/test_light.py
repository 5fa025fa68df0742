"""LightPipeline: the same clips with fewer imports."""

import subprocess
import sys

import torch

from sonovid.pipelines.light import LightPipeline

# What the packaged model is made without. Each took from 0.3 to 2 s to import.
HEAVY = ("diffusers", "transformers", "accelerate", "scipy", "torch._dynamo", "sympy", "huggingface_hub", "librosa", "peft")
START = """
import sys
from sonovid.cli import main
status = main(["generate", "a hit", "--steps", "1", "--quiet", "-o", sys.argv[1], *sys.argv[2:]])
print(status, len(sys.modules), *(name for name in {heavy} if name in sys.modules))
"""


def test_it_generates_what_the_pipeline_generates(tiny_pipeline, tiny_folder):
    light = LightPipeline.from_pretrained(tiny_folder)
    light.set_progress_bar_config(disable=True)
    ours, theirs = (one("a hit", generator=0, output_type="latent").latents for one in (light, tiny_pipeline))
    assert all(torch.equal(x, y) for x, y in zip(ours, theirs, strict=True))
    assert (light.dtype, light.accepts_text, light.geometry) == (torch.float32, True, tiny_pipeline.geometry)


def test_the_packaged_model_runs_on_few_modules(tmp_path):
    """Modules are counted and not seconds: torch alone brings some 800, and diffusers and what it imports 2,500 more."""
    program = START.format(heavy=HEAVY)
    words = [sys.executable, "-c", program, str(tmp_path / "out.mp4"), "--dtype", "float32"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    status, modules, *heavy = done.stdout.split()
    assert (status, heavy) == ("0", [])
    assert int(modules) < 1700
    assert (tmp_path / "out.mp4").stat().st_size > 1000

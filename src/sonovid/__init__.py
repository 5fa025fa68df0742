"""Sonovid: models of sounding video, trained, run and measured in one place.

The map. A package may import those above it; `tests/test_laws.py` has the exact list.

    core/         the pair of streams, clips, geometry, conditions, models as folders, files written whole
    media/        media files to clips and back: reading, writing, remuxing, loudness, previews
    data/         manifests, public datasets and procedural scenes to clips; clips to a cache of latents
    diffusion/    schedules, objectives, guidance and the joint sampling loop
    codecs/       frames and waveforms to latents and back: autoencoders, vocoders, text encoders
    models/       the denoisers, one folder per system: UniForm, CMMD, SVG, MM-LDM, MM-Diffusion
    metrics/      metrics of clips, with intervals, baselines and upper bounds
    pipelines/    from a request to clips: the pipeline, model folders, continuation, joint models of diffusers
    training/     the training loop, its checkpoints and losses
    calibration/  metrics held against clips whose truth is known
    curation/     clips checked, split, captioned and filtered
    benchmark/    systems compared on the same held-out scenes
    provenance/   where a file comes from, written into it and verified
    recipes/      a whole training as plain values, by name
    app/          the page and the HTTP API
    cli/          the command line, one file per command
"""

from typing import Any

from sonovid.core import renamed

try:
    from sonovid.core._version import __version__
except ImportError:  # a source tree that was neither built nor installed: hatch-vcs has not written the file yet
    __version__ = "0.0.0+source"

__all__ = ["AV", "Clip", "Geometry", "SoundingVideoOutput", "SoundingVideoPipeline", "Task", "__version__"]

# Public names and where they live: fetched when they are asked for, so that the command line starts at once.
_HOMES = {
    "AV": "core.av",
    "Clip": "core.clip",
    "Geometry": "core.geometry",
    "SoundingVideoOutput": "pipelines.output",
    "SoundingVideoPipeline": "pipelines.pipeline",
    "Task": "core.av",
}

renamed.install()


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sonovid' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"sonovid.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

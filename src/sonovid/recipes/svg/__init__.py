"""Recipes and their training."""

from sonovid.recipes.svg.config import (
    Codecs,
    Network,
    Regression,
    Sampling,
    SVGRecipe,
    landscape,
    of_other_data,
    paper,
    scenes,
    scenes_bases,
    tiny,
    vggsound,
)

__all__ = [
    "Codecs",
    "Network",
    "Regression",
    "SVGRecipe",
    "Sampling",
    "landscape",
    "of_other_data",
    "paper",
    "scenes",
    "scenes_bases",
    "tiny",
    "vggsound",
]

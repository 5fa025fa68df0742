"""Recipes and their training."""

from sonovid.recipes.cmmd.config import (
    PUBLISHED,
    CMMDRecipe,
    Codecs,
    Contrast,
    Network,
    Regression,
    Sampling,
    contrastive,
    paper,
    paper_contrastive,
    scenes,
    scenes_contrastive,
    tiny,
)

__all__ = [
    "PUBLISHED",
    "CMMDRecipe",
    "Codecs",
    "Contrast",
    "Network",
    "Regression",
    "Sampling",
    "contrastive",
    "paper",
    "paper_contrastive",
    "scenes",
    "scenes_contrastive",
    "tiny",
]

"""Recipes and their training."""

from sonovid.recipes.uniform.config import (
    Codecs,
    Data,
    Network,
    Regression,
    Sampling,
    UniFormRecipe,
    paper,
    scenes,
    tiny,
    tiny_columns,
)

__all__ = ["Codecs", "Data", "Network", "Regression", "Sampling", "UniFormRecipe", "paper", "scenes", "tiny", "tiny_columns"]

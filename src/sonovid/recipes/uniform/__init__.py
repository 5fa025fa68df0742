"""UniForm (Zhao et al. 2025): the published recipe, the one of the packaged model, and tiny ones."""

from sonovid.recipes.uniform.config import UniFormConfig, paper, scenes, tiny, tiny_columns

__all__ = ["UniFormConfig", "paper", "scenes", "tiny", "tiny_columns"]

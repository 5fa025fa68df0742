"""UniForm (Zhao et al. 2025): the published recipe, those of scenes and of the packaged model, and tiny ones."""

from sonovid.recipes.uniform.config import UniFormConfig, packaged, paper, scenes, tiny, tiny_columns

__all__ = ["UniFormConfig", "packaged", "paper", "scenes", "tiny", "tiny_columns"]

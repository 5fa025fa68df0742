"""MM-Diffusion (Ruan et al. 2023): the published recipe, one for scenes, a tiny one."""

from sonovid.recipes.mmdiffusion.config import MMDiffusionConfig, paper, scenes, tiny

__all__ = ["MMDiffusionConfig", "paper", "scenes", "tiny"]

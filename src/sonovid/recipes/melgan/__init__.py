"""The improved MelGAN vocoder (CMMD, Sec. 3.2 and App. B.1): the published recipe, one for scenes, and a tiny one."""

from sonovid.recipes.melgan.config import MelGANConfig, paper, scenes, tiny

__all__ = ["MelGANConfig", "paper", "scenes", "tiny"]

"""CMMD (Yang, Gamper & Braun 2023): the published recipes with and without the contrastive loss, ones for scenes, a tiny one."""

from sonovid.recipes.cmmd.config import CMMDConfig, paper, paper_contrastive, scenes, scenes_contrastive, tiny

__all__ = ["CMMDConfig", "paper", "paper_contrastive", "scenes", "scenes_contrastive", "tiny"]

"""The SVG baseline (Ishii et al. 2024): the published recipes, ones for scenes, and a tiny one."""

from sonovid.recipes.svg.config import SVGConfig, landscape, paper, scenes, scenes_bases, tiny, vggsound

__all__ = ["SVGConfig", "landscape", "paper", "scenes", "scenes_bases", "tiny", "vggsound"]

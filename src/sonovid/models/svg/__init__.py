"""The SVG baseline: a text-to-video and a text-to-audio U-Net coupled by light modules (Ishii et al. 2024, arXiv 2409.17550)."""

from sonovid.models.svg.model import SVG

__all__ = ["SVG"]

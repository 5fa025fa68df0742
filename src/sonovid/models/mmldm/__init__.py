"""MM-LDM's generator: one diffusion transformer with full attention over the latents of both streams (Sun et al. 2024)."""

from sonovid.models.mmldm.continuation import Continuation
from sonovid.models.mmldm.transformer import MMLDM

__all__ = ["MMLDM", "Continuation"]

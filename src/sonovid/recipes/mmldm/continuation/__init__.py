"""MM-LDM's continuation network, which extends a clip window by window (Sec. 4.4)."""

from sonovid.recipes.mmldm.continuation.config import MMLDMContinuationConfig, paper, scenes, tiny

__all__ = ["MMLDMContinuationConfig", "paper", "scenes", "tiny"]

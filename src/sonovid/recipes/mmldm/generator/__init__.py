"""MM-LDM's generator, a diffusion transformer on the latents of its autoencoder."""

from sonovid.recipes.mmldm.generator.config import MMLDMConfig, ObjectiveConfig, aist, audioset, landscape, scenes, tiny

__all__ = ["MMLDMConfig", "ObjectiveConfig", "aist", "audioset", "landscape", "scenes", "tiny"]

"""MM-LDM's hierarchical autoencoder of video and audio."""

from sonovid.recipes.mmldm.autoencoder.config import MMLDMAutoencoderConfig, aist, audioset, landscape, scenes, tiny

__all__ = ["MMLDMAutoencoderConfig", "aist", "audioset", "landscape", "scenes", "tiny"]

"""MM-LDM's hierarchical autoencoder: perceptual latents of both streams, a shared semantic space, one diffusion decoder."""

from sonovid.codecs.hierarchical.autoencoder import Decoding, HierarchicalAutoencoder, Whitening
from sonovid.codecs.hierarchical.discriminator import Discriminator
from sonovid.codecs.hierarchical.network import HierarchicalNetwork

__all__ = ["Decoding", "Discriminator", "HierarchicalAutoencoder", "HierarchicalNetwork", "Whitening"]

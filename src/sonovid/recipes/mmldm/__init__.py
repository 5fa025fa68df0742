"""MM-LDM (Sun et al. 2024): its autoencoder, its generator, and the continuation of generated clips."""

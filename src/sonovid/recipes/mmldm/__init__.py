"""MM-LDM (Sun et al. 2024): trainings of its autoencoder, of its generator, and of the continuation network."""

"""UniForm (Zhao et al. 2025): one diffusion transformer over the tokens of both streams."""

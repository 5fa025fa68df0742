"""The packaged model: how well, how whole, how fast."""

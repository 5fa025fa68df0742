"""Core: the AV pair, clips, geometry, conditions, models with configs, atomic file writes, text files, progress."""

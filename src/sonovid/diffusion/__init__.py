"""Noise and its removal for pairs of tensors: schedules, objectives, losses, guidance, samplers. Independent of any network."""

"""Noise and its removal for pairs of tensors: schedules, objectives, losses, guidance and samplers. Independent of any network."""

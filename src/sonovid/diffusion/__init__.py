"""Noise, and its removal: pairs of tensors, times and schedules. Knows no network."""

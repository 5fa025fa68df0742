"""Metrics held against clips whose truth is known: whether they respond to what is done to a clip, in order, and how much."""

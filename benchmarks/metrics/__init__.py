"""Metrics: speed, memory, and what some of them are tuned on."""

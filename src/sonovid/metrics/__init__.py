"""Metrics of generated video and audio: extractors, estimators, evaluation of sets, comparison of systems, and reports."""

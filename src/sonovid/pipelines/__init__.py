"""Pipelines: from a request to clips, by any model of this package or of diffusers."""

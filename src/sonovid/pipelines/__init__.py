"""Pipelines: generate clips from a request, with the models of this package or of diffusers."""

"""Denoising networks for pairs of video and audio latents, one package per system."""

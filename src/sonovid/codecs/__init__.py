"""Codecs: tensors of frames, waveforms and prompts to latents or embeddings, and latents back to frames and waveforms."""

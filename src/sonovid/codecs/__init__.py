"""Waveforms, frames and words to tensors that networks see, and back."""

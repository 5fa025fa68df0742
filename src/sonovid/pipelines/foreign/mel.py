"""LTX2Mel: the log-mel spectrogram that the audio VAE of LTX-2 encodes. diffusers does not include it."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sonovid.codecs.mel import filterbank

N_FFT = 1024
FLOOR = 1e-5


@dataclass(frozen=True)
class LTX2Mel:
    """Natural logarithm of mel magnitudes, clipped below at 1e-5. Frame j is centred on sample j * hop; Slaney's mel scale.

    Source: the settings of diffusers 0.42 for Echo, a model with the audio VAE of LTX-2.

    Args:
        sample_rate: in samples per second.
        hop: samples between frames.
        bins: mel bins, from 0 Hz to half the sample rate.
    """

    sample_rate: int = 16000
    hop: int = 160
    bins: int = 64

    def __call__(self, waveform: Float[Tensor, "c n"]) -> Float[Tensor, "c l m"]:
        """The spectrogram of a waveform in [-1, 1]: n // hop + 1 frames, time before mel bins, as LTX-2's encoder expects."""
        side = N_FFT // 2
        # The waveform must be longer than the reflected padding.
        padded = F.pad(waveform.float(), (0, max(0, side + 1 - waveform.shape[-1])))
        window = torch.hann_window(N_FFT, device=waveform.device)
        spectrum = torch.stft(padded, N_FFT, self.hop, window=window, center=True, pad_mode="reflect", return_complex=True)
        spectrum = spectrum[..., : waveform.shape[-1] // self.hop + 1]
        filters = filterbank(self.sample_rate, N_FFT, self.bins, 0.0, self.sample_rate / 2).to(padded)
        return (filters @ spectrum.abs()).clamp(min=FLOOR).log().transpose(1, 2)

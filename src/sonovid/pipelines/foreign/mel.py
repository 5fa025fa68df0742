"""The log-mel spectrogram that LTX-2's audio VAE encodes, which diffusers does not have."""

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
    """Natural logarithm of mel magnitudes with frame j centred on sample j * hop, on Slaney's scale, floored at 1e-5.

    Source: the settings with which diffusers 0.42 encodes sounds for Echo, a model with LTX-2's audio VAE.

    Args:
        sample_rate: in samples per second. hop: samples between frames. bins: mel bins, from 0 Hz to half the sample rate.
    """

    sample_rate: int = 16000
    hop: int = 160
    bins: int = 64

    def __call__(self, waveform: Float[Tensor, "c n"]) -> Float[Tensor, "c l m"]:
        """Waveform in [-1, 1] to n // hop + 1 frames per channel, as LTX-2's encoder takes them: time before mel bins."""
        side = N_FFT // 2
        # A sound must be longer than what is reflected at its ends.
        sound = F.pad(waveform.float(), (0, max(0, side + 1 - waveform.shape[-1])))
        window = torch.hann_window(N_FFT, device=waveform.device)
        spectrum = torch.stft(sound, N_FFT, self.hop, window=window, center=True, pad_mode="reflect", return_complex=True)
        spectrum = spectrum[..., : waveform.shape[-1] // self.hop + 1]
        filters = filterbank(self.sample_rate, N_FFT, self.bins, 0.0, self.sample_rate / 2).to(sound)
        return (filters @ spectrum.abs()).clamp(min=FLOOR).log().transpose(1, 2)

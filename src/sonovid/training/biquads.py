"""Random biquad filters: data augmentation of audio for training a vocoder (CMMD, appendix B.1)."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

KINDS = ("peak", "low_shelf", "high_shelf", "low_pass", "high_pass")


def biquad(
    kind: str, hz: Float[Tensor, "b"], quality: Float[Tensor, "b"], gain: Float[Tensor, "b"], sample_rate: int
) -> tuple[Float[Tensor, "b 3"], Float[Tensor, "b 3"]]:
    """Design biquad filters of one kind (Bristow-Johnson, Audio EQ Cookbook, 1998).

    Args:
        kind: one of `KINDS`.
        hz: centre or corner frequency, below half the sample rate.
        quality: Q factor.
        gain: in dB; used by "peak" and the shelves.
        sample_rate: in Hz.

    Returns:
        Numerators and denominators of the transfer functions.
    """
    w = 2 * math.pi * hz / sample_rate
    cos, alpha, a = w.cos(), w.sin() / (2 * quality), 10 ** (gain / 40)
    if kind == "peak":
        b = (1 + alpha * a, -2 * cos, 1 - alpha * a)
        return torch.stack(b, -1), torch.stack([1 + alpha / a, -2 * cos, 1 - alpha / a], -1)
    if kind in ("low_pass", "high_pass"):
        sign = 1 if kind == "low_pass" else -1
        b = ((1 - sign * cos) / 2, sign * (1 - sign * cos), (1 - sign * cos) / 2)
        return torch.stack(b, -1), torch.stack([1 + alpha, -2 * cos, 1 - alpha], -1)
    if kind not in KINDS:
        raise ValueError(f"biquad: {kind!r}; expected one of {', '.join(KINDS)}")
    # Both shelves use one formula, mirrored in frequency.
    sign, side = (1 if kind == "low_shelf" else -1), 2 * a.sqrt() * alpha
    less, more = (a + 1) - sign * (a - 1) * cos, (a + 1) + sign * (a - 1) * cos
    b = (a * (less + side), sign * 2 * a * ((a - 1) - sign * (a + 1) * cos), a * (less - side))
    return torch.stack(b, -1), torch.stack([more + side, sign * -2 * ((a - 1) + sign * (a + 1) * cos), more - side], -1)


def apply_biquad(wave: Float[Tensor, "b n"], b: Float[Tensor, "b 3"], a: Float[Tensor, "b 3"]) -> Float[Tensor, "b n"]:
    """Filter each waveform with its own filter, from a zero state.

    This works in the frequency domain, since a recursion cannot be batched. Twice the length leaves room for the impulse response
    to decay.

    Args:
        wave: waveforms.
        b: numerators.
        a: denominators.
    """
    size = 2 * wave.shape[1]
    angle = torch.arange(size // 2 + 1, device=wave.device) * (2 * math.pi / size)
    delays = torch.polar(torch.ones(1, device=wave.device), -angle * torch.arange(3, device=wave.device)[:, None])
    response = (b.to(delays) @ delays) / (a.to(delays) @ delays)
    return torch.fft.irfft(torch.fft.rfft(wave, size) * response, size)[:, : wave.shape[1]]


def apply_random_biquad(
    wave: Float[Tensor, "b n"], sample_rate: int, generator: torch.Generator | None = None
) -> Float[Tensor, "b n"]:
    """Filter each waveform with a random biquad, and scale it down to [-1, 1] if it exceeds that range.

    Args:
        wave: waveforms in [-1, 1].
        sample_rate: in Hz.
        generator: source of the random draws.

    Deviation: the paper only mentions random biquads. Here all kinds are equally frequent; centres are log-uniform from 60 Hz to
    0.45 of the sample rate, Q factors log-uniform from 0.5 to 4, and gains uniform within 12 dB.
    """
    draws = torch.rand(4, len(wave), generator=generator, device=wave.device)
    kinds = (draws[0] * len(KINDS)).long()
    low, high = 60.0, 0.45 * sample_rate
    hz, quality, gain = low * (high / low) ** draws[1], 0.5 * 8 ** draws[2], 24 * draws[3] - 12
    designed = [biquad(kind, hz, quality, gain, sample_rate) for kind in KINDS]
    rows = torch.arange(len(wave), device=wave.device)
    b, a = (torch.stack([pair[side] for pair in designed])[kinds, rows] for side in (0, 1))
    y = apply_biquad(wave, b, a)
    return y / y.abs().amax(1, keepdim=True).clamp(min=1.0)

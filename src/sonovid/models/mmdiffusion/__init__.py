"""MM-Diffusion: a coupled U-Net over pixels and samples with random-shift attention (Ruan et al. 2023).

unet          the network: `MMDiffusion`
blocks        the residual block of both streams, self-attention, random-shift attention between the streams
released      the authors' released checkpoints
"""

from sonovid.models.mmdiffusion.unet import MMDiffusion

__all__ = ["MMDiffusion"]

"""The trained network of MM-LDM's autoencoder: encoders, semantic space and signal decoder (section 3.1, figure 3)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from jaxtyping import Int
from torch import Tensor, nn

from sonovid.codecs.hierarchical.encoders import AudioEncoder, VideoEncoder
from sonovid.codecs.hierarchical.semantics import SemanticOutput, Semantics
from sonovid.codecs.hierarchical.signal_decoder import DecoderCondition, DraftPredictor, SignalDecoder, unet_config
from sonovid.core.av import AV
from sonovid.diffusion.schedule import PredictionType


class HierarchicalNetwork(ModelMixin, ConfigMixin):
    """Encodes latents of a frame autoencoder to perceptual latents z_v and z_a, and decodes them by diffusion.

    Below, "signal latents" are the whitened latents of the frame autoencoder: video [b c t h w], audio image [b c h w].
    Perceptual latents are [b C h w].

    Args:
        channels: Channels of the signal latents.
        size: (rows, columns) of the signal latents of a frame.
        num_frames: Frames of one window.
        unet: Settings of the signal decoder's U-Net, see `unet_config`.
        latent_channels: Channels of z_v and z_a.
        encoding: Settings of the encoders: `video_widths` and `audio_widths` (channels of each level; z is 2^(levels - 1) times
            smaller than the input, f_v and f_a of the paper), `blocks`, `head_width`, and `key_frames`, `folded`, `log_variance`
            of `VideoEncoder`. The defaults are the paper's.
        semantic: Settings of `Semantics`, with `video_mults`, `audio_mults`, `video_blocks` and `audio_blocks` for its pairs.
            None: no semantic space, the baseline of the paper's ablation.
        num_classes: Number of classes. 0: no classification.
        decoding: `modality_tokens`, `content`, `index_scale` and `modulated` of `SignalDecoder`. `drafted`: whether the decoder
            predicts a correction to a draft, see `DraftPredictor`; this requires predict="x0".
        predict: Prediction type of the decoder. "eps" is that of the paper and of released U-Nets.
        audio_size: (rows, columns) of the signal latents of the audio image. None: those of a frame, as published.

    Raises:
        ValueError: The encoders cannot divide `size` or `audio_size`, or a draft is combined with a prediction type other than
            "x0".
    """

    @register_to_config
    def __init__(
        self,
        channels: int,
        size: Sequence[int],
        num_frames: int,
        unet: dict[str, Any],
        *,
        latent_channels: int = 16,
        encoding: dict[str, Any] | None = None,
        semantic: dict[str, Any] | None = None,
        num_classes: int = 0,
        decoding: dict[str, Any] | None = None,
        predict: PredictionType = "eps",
        audio_size: Sequence[int] | None = None,
    ):
        super().__init__()
        self.sizes: AV = AV(size, audio_size or size).map(lambda one: (int(one[0]), int(one[1])))
        encoder_config: dict[str, Any] = {
            "video_widths": (320, 640),
            "audio_widths": (320, 640, 1280),
            "blocks": 2,
            "head_width": 64,
            "key_frames": None,
            "folded": 0,
            "log_variance": 0.0,
        }
        encoder_config |= encoding or {}
        parts = {name: encoder_config[name] for name in ("blocks", "head_width", "log_variance")}
        self.encoders = nn.ModuleDict(
            {
                "video": VideoEncoder(
                    channels,
                    latent_channels,
                    self.sizes.video,
                    encoder_config["video_widths"],
                    key_frames=encoder_config["key_frames"],
                    folded=encoder_config["folded"],
                    **parts,
                ),
                "audio": AudioEncoder(channels, latent_channels, self.sizes.audio, encoder_config["audio_widths"], **parts),
            }
        )
        factors = AV(*(2 ** (len(encoder_config[f"{name}_widths"]) - 1) for name in AV._fields))
        for one, factor in zip(self.sizes, factors, strict=True):
            if any(side % factor for side in one):
                raise ValueError(f"HierarchicalNetwork: latents of {one}; expected multiples of {factor}")
        self.latent_sizes = self.sizes.map(lambda one, factor: (one[0] // factor, one[1] // factor), factors)
        self.semantics: Semantics | None = None
        if semantic is not None:
            settings = dict(semantic)
            pairs: dict[str, Any] = {
                key: AV(*(settings.pop(f"{name}_{key}") for name in AV._fields)) for key in ("mults", "blocks")
            }
            self.semantics = Semantics(latent_channels, num_classes=num_classes, **pairs, **settings)
        settings = dict(decoding or {})
        self.drafts: nn.ModuleDict | None = None
        if settings.pop("drafted", False):
            if predict != "x0":
                raise ValueError(
                    f"HierarchicalNetwork: predict={predict!r} with a draft, which predicts clean latents; expected 'x0'"
                )
            lengths = AV(num_frames, 1)
            self.drafts = nn.ModuleDict(
                {
                    name: DraftPredictor(latent_channels, channels, length, factor)
                    for name, length, factor in zip(AV._fields, lengths, factors, strict=True)
                }
            )
        self.decoder = SignalDecoder(
            unet,
            latent_channels,
            self.latent_sizes,
            semantic_width=0 if semantic is None else semantic["width"],
            num_classes=num_classes,
            **settings,
        )

    @property
    def signal_shapes(self) -> AV:
        """Shapes of the signal latents of one window: (c, t, h, w) and (c, h, w)."""
        c = self.config.channels
        return AV((c, self.config.num_frames, *self.sizes.video), (c, *self.sizes.audio))

    def posterior(self, signal_latents: AV) -> AV:
        """(mean, log-variance) of the latents of each stream, or None for a stream that is None."""
        return AV(*(None if x is None else self.encoders[name](x) for name, x in zip(AV._fields, signal_latents, strict=True)))

    def null_latents(self) -> AV:
        """Latents of an input of zeros, [1 C h w]: the null condition that the decoder is guided against."""
        like = next(self.parameters())
        zeros = self.signal_shapes.map(lambda shape: torch.zeros(1, *shape, device=like.device, dtype=like.dtype))
        return self.posterior(zeros).map(lambda moments: moments[0])

    def encode_semantics(self, latents: AV) -> SemanticOutput | None:
        """Semantic features of a pair of latents. None without a semantic space."""
        return None if self.semantics is None else self.semantics(latents)

    def make_condition(
        self,
        latents: AV,
        frames: Int[Tensor, "b k"],
        *,
        features: AV | None = None,
        labels: Int[Tensor, "b"] | None = None,
        keep_condition: AV | None = None,
        null_latents: AV | None = None,
    ) -> AV:
        """Conditions of the decoder for k frames and for the audio image of each clip.

        The rows of the first are all frames of the first clip, then those of the second, ...

        Args:
            latents: Perceptual latents of both streams. The condition of a stream that is None is None.
            frames: Indices of the frames, [b k].
            features: Semantic features of both streams. Each stream is conditioned on those of the other.
            labels: Classes of the clips, -1 for none.
            keep_condition: For each stream True [b] where the condition is kept. Elsewhere the null condition replaces it.
            null_latents: Latents of the null condition.
        """
        k = frames.shape[1]
        parts: list[DecoderCondition | None] = []
        for i, name in enumerate(AV._fields):
            z = latents[i]
            if z is None:
                parts.append(None)
                continue
            times = k if name == "video" else 1
            keep = None if keep_condition is None else keep_condition[i]
            if keep is not None:
                assert null_latents is not None
                z = torch.where(keep[:, None, None, None], z, null_latents[i].to(z.dtype))
            other = None if features is None else features[1 - i]
            repeat: list[Any] = [None if x is None else x.repeat_interleave(times, 0) for x in (z, other, labels, keep)]
            position = frames.flatten().float() / self.config.num_frames if name == "video" else None
            part = self.decoder.make_condition(
                name,
                repeat[0],
                self.sizes[i],
                position=position,
                semantic_features=repeat[1],
                labels=repeat[2],
                keep_condition=repeat[3],
            )
            if self.drafts is not None:
                numbers = frames if name == "video" else torch.zeros_like(frames[:, :1])
                part = replace(part, draft=self.drafts[name](z, numbers))
            parts.append(part)
        return AV(*parts)

    def forward(self, x: AV, t: AV, condition: AV) -> AV:
        """Predictions of type `predict` for noisy signal latents, see `SignalDecoder`.

        Frames and audio images of one size pass the U-Net in one batch.

        Args:
            x: Frames [n c h w] and audio images [m c h2 w2]. A stream without a condition has no rows, or is None.
            t: Times in [0, 1], one for each image.
            condition: What `make_condition` returned.
        """
        present = [i for i, part in enumerate(condition) if part is not None]
        if len({tuple(x[i].shape[1:]) for i in present}) == 1:
            parts = [torch.cat([one[i] for i in present]) for one in (x, t)]
            out = self.decoder(*parts, DecoderCondition.concat([condition[i] for i in present]))
            made = dict(zip(present, out.split([len(x[i]) for i in present]), strict=True))
        else:
            made = {i: self.decoder(x[i], t[i], condition[i]) for i in present}
        return AV(*(made.get(i, x[i]) for i in range(2)))


def paper(num_classes: int = 9) -> dict[str, Any]:
    """The published size: 16 frames of 256 x 256 with the frame codec and U-Net of Stable Diffusion. Landscape has 9 classes."""
    return {
        "channels": 4,
        "size": (32, 32),
        "num_frames": 16,
        "unet": unet_config((320, 640, 1280, 1280), channels=4, cross_attention_dim=768),
        "semantic": {
            "width": 768,
            "base": 128,
            "video_mults": (1, 2, 4, 4),
            "audio_mults": (1, 2, 4),
            "video_blocks": 3,
            "audio_blocks": 4,
            "contrast": 256,
        },
        "num_classes": num_classes,
    }


def scenes(num_classes: int = 0) -> dict[str, Any]:
    """A small size for 16 frames of 64 x 64 with the packaged frame codec, trainable on one core.

    Deviation: f_v = 1 and f_a = 2; the published 2 and 4 would leave z_a four positions. Deviation: 32 latent channels; with the
    published 16, a linear map of the frames of a position keeps a third of their change over time, and with 32 two thirds.
    Deviation: the decoder predicts clean latents. When it starts from pure noise, an error in predicted noise is 14 times larger
    in the result, and a short training learns to denoise long before it learns to use the latents: after 200 steps all clips
    decoded to the same image.
    """
    return {
        "channels": 8,
        "size": (8, 8),
        "num_frames": 16,
        "unet": unet_config((64, 128), channels=8, cross_attention_dim=64, layers=1, heads=4, groups=16),
        "latent_channels": 32,
        "encoding": {
            "video_widths": (48,),
            "audio_widths": (48, 96),
            "blocks": 1,
            "head_width": 24,
            "folded": 16,
            "log_variance": -6.0,
        },
        "semantic": semantic(64, 32, video_mults=(1, 2, 2), audio_mults=(1, 2), contrast=64),
        "num_classes": num_classes,
        "decoding": {"modality_tokens": 8, "modulated": True, "drafted": True},
        "predict": "x0",
    }


def tiny(num_classes: int = 3) -> dict[str, Any]:
    """A size for tests: 4 frames of 16 x 16 with a frame codec of 4 channels that is 4 times smaller."""
    return {
        "channels": 4,
        "size": (4, 4),
        "num_frames": 4,
        "unet": unet_config((16, 16), channels=4, cross_attention_dim=16, layers=1, heads=2, groups=4),
        "latent_channels": 8,
        "encoding": {"video_widths": (16,), "audio_widths": (16, 16), "blocks": 1, "head_width": 8},
        "semantic": semantic(16, 16, video_mults=(1, 2), audio_mults=(1,), contrast=8),
        "num_classes": num_classes,
        "decoding": {"modality_tokens": 3},
    }


def semantic(width: int, base: int, *, video_mults: Sequence[int], audio_mults: Sequence[int], contrast: int) -> dict[str, Any]:
    """Settings of a small semantic space with one block per level."""
    return {
        "width": width,
        "base": base,
        "video_mults": tuple(video_mults),
        "audio_mults": tuple(audio_mults),
        "video_blocks": 1,
        "audio_blocks": 1,
        "contrast": contrast,
        "head_width": 16,
    }

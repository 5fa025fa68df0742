"""The small codecs of this package: frame, video and mel autoencoders, and a vocoder."""

from sonovid.recipes.codec.config import (
    FrameCodecConfig,
    MelCodecConfig,
    VideoCodecConfig,
    VocoderConfig,
    frames,
    frames_tiny,
    mel,
    mel_fine,
    mel_tiny,
    video,
    video_decoder,
    video_tiny,
    vocoder,
    vocoder_tiny,
)

__all__ = [
    "FrameCodecConfig",
    "MelCodecConfig",
    "VideoCodecConfig",
    "VocoderConfig",
    "frames",
    "frames_tiny",
    "mel",
    "mel_fine",
    "mel_tiny",
    "video",
    "video_decoder",
    "video_tiny",
    "vocoder",
    "vocoder_tiny",
]

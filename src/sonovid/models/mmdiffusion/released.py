"""Conversion of the authors' released checkpoints of MM-Diffusion, which are files of named tensors."""

import re
from collections.abc import Mapping

from torch import Tensor

from sonovid.models.mmdiffusion.unet import MMDiffusion

# Released names of the parts of a residual block, of random-shift attention and of the ends, to those of this package.
PARTS = (
    (r"video_in_layers\.0\.GroupNorm\.", "norm_in.video."),
    (r"video_in_layers\.2\.video_conv_spatial\.", "video_convolution.space."),
    (r"video_in_layers\.2\.video_conv_temporal\.", "video_convolution.time."),
    (r"audio_in_layers\.0\.GroupNorm\.", "norm_in.audio."),
    (r"audio_in_layers\.2\.audio_conv\.", "audio_convolution.time."),
    (r"emb_layers\.1\.", "time."),
    (r"video_out_layers\.0\.GroupNorm\.", "norm_out.video."),
    (r"video_out_layers\.3\.video_conv\.", "out.video."),
    (r"audio_out_layers\.0\.GroupNorm\.", "norm_out.audio."),
    (r"audio_out_layers\.3\.audio_conv\.", "out.audio."),
    (r"video_skip_connection\.video_conv\.", "skip.video."),
    (r"audio_skip_connection\.audio_conv\.", "skip.audio."),
    (r"(spatial|temporal|audio)_attention_block\.norm\.GroupNorm\.", r"\1_attention.norm."),
    (r"(spatial|temporal|audio)_attention_block\.qkv\.", r"\1_attention.qkv."),
    (r"(spatial|temporal|audio)_attention_block\.proj_out\.", r"\1_attention.out."),
    (r"v_norm\.GroupNorm\.", "norm.video."),
    (r"a_norm\.GroupNorm\.", "norm.audio."),
    (r"v_qkv\.", "qkv.video."),
    (r"a_qkv\.", "qkv.audio."),
    (r"video_proj_out\.video_conv\.", "out.video."),
    (r"audio_proj_out\.audio_conv\.", "out.audio."),
)
ENDS = (
    (r"time_embed\.0\.", "time.linear_1."),
    (r"time_embed\.2\.", "time.linear_2."),
    (r"input_blocks\.0\.0\.video_conv\.video_conv_spatial\.", "video_in.space."),
    (r"input_blocks\.0\.0\.video_conv\.video_conv_temporal\.", "video_in.time."),
    (r"input_blocks\.0\.0\.audio_conv\.audio_conv\.", "audio_in.time."),
    (r"video_out\.0\.GroupNorm\.", "video_norm."),
    (r"video_out\.2\.video_conv\.", "video_out."),
    (r"audio_out\.0\.GroupNorm\.", "audio_norm."),
    (r"audio_out\.2\.audio_conv\.", "audio_out.time."),
)


def convert_key(name: str) -> str:
    """Convert the name of a tensor of a released checkpoint to the name in this package.

    Raises:
        ValueError: the name is not one of a released checkpoint.
    """
    for pattern, replacement in ENDS:
        if re.match(pattern, name):
            return re.sub(pattern, replacement, name, count=1)
    found = re.fullmatch(r"(input|output)_blocks\.(\d+)\.(\d+)\.(.+)|middle_blocks\.(\d+)\.(.+)", name)
    if found:
        side, index, part, rest, middle, middle_rest = found.groups()
        inner = _convert_part(name, rest or middle_rest)
        # Residual block, attention and residual block follow each other in one list.
        if middle is not None:
            return f"middle.{int(middle) // 2}.{'fusion' if middle == '1' else 'residual'}.{inner}"
        stage = f"down.{int(index) - 1}" if side == "input" else f"up.{index}"
        kind = (
            "residual" if part == "0" else "fusion" if re.match(r"[va]_(norm|qkv)|(video|audio)_proj_out", rest) else "upsample"
        )
        return f"{stage}.{kind}.{inner}"
    raise ValueError(f"{name}: no tensor of a released MM-Diffusion checkpoint")


def _convert_part(name: str, rest: str) -> str:
    for pattern, replacement in PARTS:
        if re.match(pattern, rest):
            return re.sub(pattern, replacement, rest, count=1)
    raise ValueError(f"{name}: no tensor of a released MM-Diffusion checkpoint")


def convert(state: Mapping[str, Tensor], model: MMDiffusion) -> dict[str, Tensor]:
    """Convert the tensors of a released checkpoint to those of a model of the same size.

    Kernels of this package have their input channels last, and 1x1 convolutions are linear maps.

    Args:
        state: the released tensors.
        model: the model; only the shapes of its weights are used.

    Raises:
        ValueError: a tensor is unknown, missing, or of another size.
    """
    wanted, converted = model.state_dict(), {}
    for name, value in state.items():
        key = convert_key(name)
        if key not in wanted:
            raise ValueError(f"{name}: this model has no such tensor; it has other levels, blocks or windows")
        shape = wanted[key].shape
        if value.ndim == 4 and value.ndim == len(shape):  # [out, in, rows, columns]
            value = value.permute(0, 2, 3, 1)
        elif value.ndim == 3 and len(shape) == 4:  # [out, in, length], in time: along rows for video, along columns for audio.
            value = value.permute(0, 2, 1)
            value = value[:, None] if shape[1] == 1 else value[:, :, None]
        elif len(shape) == 2:
            value = value.flatten(1)
        if value.shape != shape:
            raise ValueError(f"{name}: a tensor of shape {tuple(value.shape)}, and this model has {tuple(shape)}")
        converted[key] = value.contiguous()
    if missing := sorted(set(wanted) - set(converted)):
        raise ValueError(f"the checkpoint lacks {len(missing)} tensors, such as {missing[0]}")
    return converted

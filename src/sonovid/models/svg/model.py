"""SVG: a video and an audio U-Net that were trained apart, joined by connectors and joins (Ishii et al. 2024, Fig. 1)."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, Literal, get_args

import torch
from diffusers import ConfigMixin, ModelMixin, UNet2DConditionModel, UNetMotionModel
from diffusers.configuration_utils import register_to_config
from diffusers.models.unets.unet_motion_model import UpBlockMotion
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint

from sonovid.core.av import AV
from sonovid.core.condition import Condition
from sonovid.models.base import Output
from sonovid.models.svg.connector import Connector, WithoutTypical, context_of_clip, context_over_time
from sonovid.models.svg.fusion import CMCPE, NORM_GROUPS, CrossAttention, Join, SequenceCrossAttention

Variant = Literal["cmc_pe", "cross_attention", "cross_attention_sequence"]
VARIANTS = get_args(Variant)
# After these blocks of either U-Net a join sits: the last two on the way down, the first two on the way up.
DOWN, UP = (-2, -1), (0, 1)
# What both base models were trained with: a time in [0, 1] is entry t * 1000 - 1 of their tables.
NUM_STEPS = 1000


class SVG(ModelMixin, ConfigMixin):
    """The joint model. With its joins as they begin, silent, its output is that of the two base models.

    video, audio: the settings of a `UNetMotionModel` and of a `UNet2DConditionModel` whose class embedding takes the text's
    vector (AudioLDM). variant: "cmc_pe", the paper's; "cross_attention", its baseline after CoDi, of one vector for a
    clip; or "cross_attention_sequence", of a vector for each step (Sec. III-C1). context_channels: of what
    connectors send. mults: of the U-Net's first width, per level of a connector. head_width: of the joins' attention heads, per
    stream. text_words: places of the null text. fold: squares of so many by so many video latents are one place of the U-Net,
    with as many times the channels. centred: contexts do not carry what is always the same. pad_audio: fill the audio's steps
    with zeros to what the U-Net can halve, and cut the result; otherwise such a length is an error. as_released: three slips of
    the released code, which weights that were trained with it need: see CMCPE, TemporalBlock and context_over_time.

    Deviation: centred contexts are no part of the paper, and off unless asked for. Vectors of unit length that are read by small
    networks at high learning rates soon become one direction that stays, which says nothing. With them, that of CMC-PE loses its
    mean over the clip's time, and the clip's one vector of cross-attention its mean over clips.
    """

    _supports_gradient_checkpointing = True
    null_text: Tensor
    null_pooled: Tensor

    @register_to_config
    def __init__(
        self,
        video: dict[str, Any],
        audio: dict[str, Any],
        *,
        variant: Variant = "cmc_pe",
        context_channels: int = 1280,
        mults: Sequence[int] = (2, 4),
        head_width: Sequence[int] = (8, 8),
        text_words: int = 77,
        fold: int = 1,
        centred: bool = False,
        pad_audio: bool = True,
        as_released: bool = False,
    ):
        super().__init__()
        if variant not in VARIANTS:
            raise ValueError(f"SVG: variant {variant!r}; expected one of {', '.join(VARIANTS)}")
        settings = AV(video, audio)
        check_bases(settings)
        self.unets = nn.ModuleDict({"video": build(UNetMotionModel, video), "audio": build(UNet2DConditionModel, audio)})
        if as_released:
            # The diffusers that the weights were trained with gave these norms 32 groups, whatever the U-Net's own number.
            blocks: Any = self.unets["video"].up_blocks
            for motion in (m for up in blocks if type(up) is UpBlockMotion for m in up.motion_modules):
                motion.norm.num_groups = NORM_GROUPS
        make = partial(Connector, mults=tuple(mults), out_channels=context_channels, as_released=as_released)
        self.connectors, self.joins = nn.ModuleDict(), nn.ModuleDict()
        centring = AV._fields if centred and variant == "cross_attention" else ()
        self.centring = nn.ModuleDict({name: WithoutTypical(context_channels) for name in centring})
        for name, own, head in zip(AV._fields, settings, head_width, strict=True):
            widths = list(own["block_out_channels"])
            self.connectors[name] = make(2 * own["in_channels"], widths[0], time_width=4 * widths[0], along_time=name == "video")
            sites = {f"down_{len(widths) + i}": widths[i] for i in DOWN} | {f"up_{i}": widths[-1 - i] for i in UP}

            def block(channels: int, head: int = head) -> nn.Module:
                if variant == "cmc_pe":
                    return CMCPE(channels, context_channels, head, as_released=as_released)
                sequence = variant == "cross_attention_sequence"
                return (SequenceCrossAttention if sequence else CrossAttention)(channels, context_channels, head)

            self.joins[name] = nn.ModuleDict(
                {site: Join(channels, block(channels), within_steps=name == "video") for site, channels in sites.items()}
            )
            for site in sites:
                way, index = site.split("_")
                blocks = getattr(self.unets[name], f"{way}_blocks")
                # Partials of a method, not closures: a copied model then calls its own joins.
                blocks[int(index)].register_forward_hook(partial(self._join, name, site))
        for name, layer in self.unets["video"].named_modules():
            if name.endswith(("attn2.to_k", "attn2.to_v")) and "motion" not in name:
                layer.register_forward_pre_hook(once_for_all_frames)
                layer.register_forward_hook(for_each_frame)
        words = video["cross_attention_dim"]
        self.register_buffer("null_text", torch.zeros(text_words, words))
        self.register_buffer("null_pooled", torch.zeros(audio["projection_class_embeddings_input_dim"]))
        self.gradient_checkpointing = False
        # While base models are trained, each by itself, connectors would be work for nothing.
        self.apart = False
        self._sent: AV | None = None
        self._num_frames = 0

    # --- from base models ------------------------------------------------------------------------------------------------

    @classmethod
    def from_bases(cls, video: nn.Module, audio: nn.Module, **options: Any) -> "SVG":
        """A joint model with these U-Nets' weights, copied; everything else as it begins.

        Raises:
            ValueError: U-Nets of another kind.
        """
        for unet, kind, hint in (
            (video, UNetMotionModel, "make one from a picture U-Net with UNetMotionModel.from_unet2d(unet, motion_adapter)"),
            (audio, UNet2DConditionModel, "AudioLDM's is one"),
        ):
            if not isinstance(unet, kind):
                raise ValueError(f"SVG: got a {type(unet).__name__} where a {kind.__name__} is needed: {hint}")
        model = cls(plain(video.config), plain(audio.config), **options)  # type: ignore[arg-type]
        for name, unet in zip(AV._fields, (video, audio), strict=True):
            model.unets[name].load_state_dict(unet.state_dict())
        return model

    def trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        """What is trained: connectors, joins and the video's motion layers (Sec. III-E)."""
        for name, parameter in self.named_parameters():
            if not name.startswith("unets.") or "motion" in name:
                yield name, parameter

    def train_bases(self) -> "SVG":
        """Ask for gradients of both U-Nets, each by itself, and of nothing else."""
        self.requires_grad_(False)
        self.unets.requires_grad_(True)
        self.apart = True
        return self

    def freeze_bases(self) -> "SVG":
        """Ask for gradients of what is trained, and of nothing else."""
        self.requires_grad_(False)
        for _, parameter in self.trainable():
            parameter.requires_grad_(True)
        return self

    def set_null(self, text: Tensor, pooled: Tensor) -> None:
        """What the frozen text encoders give for no words, [k d] and [e]: it stands wherever a sample has none."""
        if text.shape != self.null_text.shape or pooled.shape != self.null_pooled.shape:
            raise ValueError(
                f"SVG: null text {tuple(text.shape)} and vector {tuple(pooled.shape)}; this model takes "
                f"{tuple(self.null_text.shape)} and {tuple(self.null_pooled.shape)}"
            )
        self.null_text, self.null_pooled = text.to(self.null_text), pooled.to(self.null_pooled)

    def enable_gradient_checkpointing(self, gradient_checkpointing_func: Any = None) -> None:
        """Keep no activations inside blocks, connectors and joins; the backward pass computes them again (diffusers)."""
        super().enable_gradient_checkpointing(gradient_checkpointing_func or recomputed)

    # --- forward ---------------------------------------------------------------------------------------------------------

    def forward(self, x: AV, t: AV, condition: Condition | None = None, previous: AV | None = None) -> Output:
        """The predicted noise of both streams; zeros for a stream that is given in every sample.

        x: video [b c t h w], audio [b c l f]. t: times in [0, 1] of each stream, [b]. condition: words for the video and, pooled,
        one vector for the audio. previous: the last estimate of the clean pair, zeros at the first step (Chen et al. 2023).

        Raises:
            ValueError: more frames than the motion layers know, or lengths that cannot be halved as often as they must be.
        """
        self.check(x)
        given = x.map(torch.zeros_like) if previous is None else previous
        steps, length = x.audio.shape[2], self.audio_length(x.audio.shape[2])
        x, given = (AV(self._folded(pair.video), F.pad(pair.audio, (0, 0, 0, length - steps))) for pair in (x, given))
        entries = t.map(table_entries)
        words, pooled = self.texts(condition, len(x.video))
        frames = x.video.shape[2]
        # The motion U-Net takes words for each frame.
        words = words.to(x.video.dtype).repeat_interleave(frames, 0)
        words.frames_told = frames  # type: ignore[attr-defined]
        made = told_to_make(condition)
        with precision(x.video.device), self._sending(None if self.apart else self._contexts(x, given, entries), frames):
            # A stream that is given in every sample is not asked for, and its U-Net would run for nothing.
            video, audio = (z.new_zeros(z.shape) for z in x)
            if made.video:
                video = self.unets["video"](x.video, entries.video, words).sample
            if made.audio:
                audio = self.unets["audio"](x.audio, entries.audio, None, class_labels=pooled.to(x.audio.dtype)).sample
        p = self.config.fold
        video = rearrange(video, "b (c p q) t h w -> b c t (h p) (w q)", p=p, q=p)
        return Output(AV(video, audio[:, :, :steps]))

    def _folded(self, video: Tensor) -> Tensor:
        """Squares of latents as one place of more channels."""
        p = self.config.fold
        return rearrange(video, "b c t (h p) (w q) -> b (c p q) t h w", p=p, q=p)

    def _contexts(self, x: AV, previous: AV, entries: AV) -> AV:
        """What each stream is sent by the other. Guidance doubles a batch: halves that differ in words alone get the same."""
        names, half = AV(*AV._fields), len(x.video) // 2
        if torch.is_grad_enabled() or not doubled(*x, *previous, *entries):
            return AV(*reversed(x.map(self._context, previous, entries, names)))
        parts = (pair.map(lambda z: z[:half]) for pair in (previous, entries))
        return AV(*reversed(x.map(lambda z: z[:half]).map(self._context, *parts, names))).map(lambda z: torch.cat([z, z]))

    def _context(self, x: Tensor, previous: Tensor, entries: Tensor, name: str) -> Tensor:
        """What a stream sends to the other one, [b c t]."""
        unet: Any = self.unets[name]
        connector = self.connectors[name]
        time = unet.time_embedding(unet.time_proj(entries).to(x.dtype))
        pair = torch.cat([x, previous], 1)
        pair = pair if name == "video" else pair[:, :, None]
        if self.gradient_checkpointing and torch.is_grad_enabled():
            sent = self._gradient_checkpointing_func(connector, pair, time)
        else:
            sent = connector(pair, time)
        if self.config.variant == "cross_attention":
            return context_of_clip(self.centring[name](sent) if self.config.centred else sent)
        return context_over_time(sent, as_released=self.config.as_released, centred=self.config.centred)

    @contextmanager
    def _sending(self, contexts: AV | None, num_frames: int) -> Iterator[None]:
        """Have the joins take these contexts in while the U-Nets run; outside, the U-Nets are themselves alone."""
        self._sent, self._num_frames = contexts, num_frames
        try:
            yield
        finally:
            self._sent = None

    def _join(self, name: str, site: str, block: nn.Module, inputs: Any, output: Any) -> Any:
        """After a block: its hidden state through the join, and for a block on the way down its last skip too."""
        if self._sent is None:
            return None
        h = output[0] if isinstance(output, tuple) else output
        t, w = self._num_frames, h.shape[-1]
        x = rearrange(h, "(b t) c h w -> b c t (h w)", t=t) if name == "video" else h
        joins: Any = self.joins[name]
        join, context = joins[site], getattr(self._sent, name)
        if self.gradient_checkpointing and torch.is_grad_enabled():
            x = self._gradient_checkpointing_func(join, x, context)
        else:
            x = join(x, context)
        h = rearrange(x, "b c t (h w) -> (b t) c h w", w=w) if name == "video" else x
        return (h, (*output[1][:-1], h)) if isinstance(output, tuple) else h

    def texts(self, condition: Condition | None, b: int) -> tuple[Tensor, Tensor]:
        """Words [b k d] and one vector [b e] for each sample, the null ones where it has no words.

        Raises:
            ValueError: words of another encoder, or no vector beside them.
        """
        words, pooled = self.null_text.expand(b, -1, -1), self.null_pooled.expand(b, -1)
        if condition is None or not condition.text_mask.any():
            return words, pooled
        if condition.pooled is None:
            raise ValueError(
                "SVG: the condition has words but no pooled vector for the sound; use the text encoder of this model"
            )
        for what, given, own in (("words", condition.text, words), ("pooled vectors", condition.pooled, pooled)):
            if given.shape[-1] != own.shape[-1]:
                raise ValueError(
                    f"SVG: {what} of {given.shape[-1]} channels; this model takes {own.shape[-1]}: "
                    "use the text encoders it was made with"
                )
        there = condition.text_mask.any(1)
        if there.all():
            return condition.text, condition.pooled
        if condition.text.shape[1] != words.shape[1]:
            raise ValueError(
                f"SVG: {condition.text.shape[1]} words beside samples without any; the text encoder has to fill {words.shape[1]}"
            )
        return (
            torch.where(there[:, None, None], condition.text.to(words.dtype), words),
            torch.where(there[:, None], condition.pooled.to(pooled.dtype), pooled),
        )

    def check(self, x: AV) -> None:
        """Raises ValueError where the U-Nets cannot take latents of these sizes."""
        for name, one, places in zip(AV._fields, x, (self.config.fold**2, 1), strict=True):
            taken = self.unets[name].config["in_channels"]  # type: ignore[index]
            if one.shape[1] * places != taken:
                squares = f", which is {self.config.fold}x{self.config.fold} latents" if places > 1 else ""
                raise ValueError(
                    f"SVG: {name} latents of {one.shape[1]} channels; its U-Net takes {taken}{squares}: take the codec it was "
                    "trained with"
                )
        frames, most = x.video.shape[2], self.config.video.get("motion_max_seq_length", 32)
        if frames > most:
            raise ValueError(f"SVG: {frames} frames; the motion layers know {most}: make fewer, or take a longer motion adapter")
        halvings = self.config.fold * 2 ** (len(self.config.video["block_out_channels"]) - 1)
        if x.video.shape[3] % halvings or x.video.shape[4] % halvings:
            raise ValueError(
                f"SVG: video latents of {x.video.shape[3]}x{x.video.shape[4]}; both sides have to be multiples of {halvings}"
            )
        halvings = 2 ** (len(self.config.audio["block_out_channels"]) - 1)
        if x.audio.shape[3] % halvings and x.audio.shape[3] != 1:
            raise ValueError(f"SVG: audio latents of {x.audio.shape[3]} mel places; expected 1 or a multiple of {halvings}")
        if x.audio.shape[2] % halvings and not self.config.pad_audio:
            raise ValueError(
                f"SVG: {x.audio.shape[2]} audio steps, expected a multiple of {halvings}: take another length, or pad_audio=True"
            )

    def audio_length(self, steps: int) -> int:
        """The audio's steps, filled up to what the U-Net can halve."""
        halvings = 2 ** (len(self.config.audio["block_out_channels"]) - 1)
        return math.ceil(steps / halvings) * halvings


class SinglePrecision(TorchFunctionMode):
    """What a CPU does badly in bfloat16, in single precision, whoever calls it.

    Attention, whose backward pass is slow; and convolutions over one place of width, as those of sound with one mel
    place are: with a stride, gradients of their weights were now and then not finite (torch 2.13).
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        narrow = func is F.conv2d and args[0].shape[-1] == 1
        if func is not F.scaled_dot_product_attention and not narrow:
            return func(*args, **(kwargs or {}))

        def single(value: Any) -> Any:
            return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value

        with torch.autocast("cpu", enabled=False):
            return func(*map(single, args), **{name: single(value) for name, value in (kwargs or {}).items()})


def precision(device: torch.device) -> Any:
    """For a forward pass: what `SinglePrecision` names where a CPU trains under autocast, else everything as it comes."""
    badly = device.type == "cpu" and torch.is_autocast_enabled("cpu") and torch.is_grad_enabled()
    return SinglePrecision() if badly else nullcontext()


def recomputed(block: nn.Module, *inputs: Any) -> Any:
    """A block whose activations the backward pass computes again, in the precision in which they were computed first.

    The backward pass runs after `precision` was left, so that its mode has to be entered again.
    """
    tensors = [value for value in inputs if isinstance(value, Tensor)]
    mode = precision(tensors[0].device)
    return checkpoint(block, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), mode))


def once_for_all_frames(layer: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor] | None:
    """Before keys or values are made of words that are the same for so many frames: those of the first. Other words pass."""
    frames = getattr(inputs[0], "frames_told", 1)
    if frames == 1:
        return None
    words = inputs[0][::frames]
    words.frames_told = frames  # type: ignore[attr-defined]
    return (words,)


def for_each_frame(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    """Afterwards: what was made of them, for every frame again."""
    return output.repeat_interleave(getattr(inputs[0], "frames_told", 1), 0)


def told_to_make(condition: Condition | None) -> AV:
    """For each stream, whether any sample has it generated."""
    return AV(True, True) if condition is None else condition.generated.map(lambda g: bool(g.any()))


def doubled(*tensors: Tensor) -> bool:
    """Whether the second half of a batch is its first again, in all of these."""
    half, odd = divmod(len(tensors[0]), 2)
    return half > 0 and not odd and all(torch.equal(z[:half], z[half:]) for z in tensors)


def table_entries(t: Tensor) -> Tensor:
    """Times in [0, 1] as entries of the base models' tables; a given stream, at time zero, is their cleanest entry.

    Rounded to hundredths of an entry, so that the times of a table are its entries whatever single precision makes of them.
    """
    if t.ndim != 1:
        raise ValueError(f"SVG: times {tuple(t.shape)}; it takes one for each sample, [b]")
    return (t.double() * NUM_STEPS - 1).round(decimals=2).clamp(min=0).float()


def plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """A diffusers configuration as plain values, without what says where it came from."""
    return {key: list(v) if isinstance(v, tuple) else v for key, v in dict(config).items() if not key.startswith("_")}


def build(kind: type, settings: dict[str, Any]) -> Any:
    """A U-Net of these settings, as it begins."""
    return kind.from_config({key: value for key, value in settings.items() if not key.startswith("_")})  # type: ignore[attr-defined]


def check_bases(settings: AV) -> None:
    """Raises ValueError where the settings are not those of the two kinds of U-Net, or their blocks too few."""
    for name, own in zip(AV._fields, settings, strict=True):
        if len(own.get("block_out_channels", ())) < 2:
            raise ValueError(f"SVG: the {name} U-Net has {len(own.get('block_out_channels', ()))} blocks; joins need at least 2")
        if any(c % 32 for c in own["block_out_channels"][-2:]) or own["block_out_channels"][0] % 16:
            raise ValueError(
                f"SVG: the {name} U-Net's widths {list(own['block_out_channels'])}; the last two have to be multiples of 32, and "
                "the first of 16"
            )
    if "motion_max_seq_length" not in settings.video:
        raise ValueError("SVG: the video U-Net has no motion layers; add them with UNetMotionModel.from_unet2d(unet, adapter)")
    if settings.audio.get("class_embed_type") != "simple_projection":
        raise ValueError("SVG: the audio U-Net takes no text vector (class_embed_type 'simple_projection'), as AudioLDM's does")


def paper(variant: Variant = "cmc_pe") -> dict[str, Any]:
    """The published size: Stable Diffusion 1.5 with AnimateDiff's motion layers, and AudioLDM-M."""
    return {
        "video": motion_config((320, 640, 1280, 1280), cross_attention_dim=768, in_channels=4, norm_groups=32),
        "audio": audioldm_config((192, 384, 576, 960), text_width=512, in_channels=8, norm_groups=32),
        "variant": variant,
    }


def tiny(variant: Variant = "cmc_pe") -> dict[str, Any]:
    """Small enough to train and sample on a CPU in seconds, on the packaged model's latents."""
    return {
        "video": motion_config((64, 32), cross_attention_dim=32, in_channels=8, norm_groups=8, layers=1),
        "audio": audioldm_config((64, 32), text_width=32, in_channels=16, norm_groups=8, layers=1),
        "variant": variant,
        "context_channels": 32,
        "mults": (1, 2),
        "text_words": 32,
    }


def motion_config(
    widths: tuple[int, ...],
    *,
    cross_attention_dim: int,
    in_channels: int,
    norm_groups: int,
    layers: int = 2,
    frames: int = 32,
    heads: int = 8,
) -> dict[str, Any]:
    """The settings of an AnimateDiff U-Net of the Stable Diffusion family, for clips of at most `frames` latent frames."""
    crossing = len(widths) - 1
    return {
        "in_channels": in_channels,
        "out_channels": in_channels,
        "block_out_channels": list(widths),
        "layers_per_block": layers,
        "cross_attention_dim": cross_attention_dim,
        "num_attention_heads": heads,
        "norm_num_groups": norm_groups,
        "down_block_types": ["CrossAttnDownBlockMotion"] * crossing + ["DownBlockMotion"],
        "up_block_types": ["UpBlockMotion"] + ["CrossAttnUpBlockMotion"] * crossing,
        "motion_max_seq_length": frames,
        "motion_num_attention_heads": heads,
        "use_motion_mid_block": True,
    }


def audioldm_config(
    widths: tuple[int, ...], *, text_width: int, in_channels: int, norm_groups: int, layers: int = 2, heads: int = 8
) -> dict[str, Any]:
    """The settings of an AudioLDM U-Net: no words, one text vector beside the time."""
    crossing = len(widths) - 1
    return {
        "in_channels": in_channels,
        "out_channels": in_channels,
        "block_out_channels": list(widths),
        "layers_per_block": layers,
        # Without words, what would attend to them attends to the stream itself.
        "cross_attention_dim": list(widths),
        "attention_head_dim": heads,
        "norm_num_groups": norm_groups,
        "down_block_types": ["DownBlock2D"] + ["CrossAttnDownBlock2D"] * crossing,
        "up_block_types": ["CrossAttnUpBlock2D"] * crossing + ["UpBlock2D"],
        "class_embed_type": "simple_projection",
        "projection_class_embeddings_input_dim": text_width,
        "class_embeddings_concat": True,
    }

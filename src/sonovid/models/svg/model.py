"""SVG: separately trained video and audio U-Nets, coupled by connectors and fusion modules (Ishii et al. 2024, Fig. 1)."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import torch
from diffusers import ConfigMixin, ModelMixin, UNet2DConditionModel, UNetMotionModel
from diffusers.configuration_utils import register_to_config
from diffusers.models.unets.unet_motion_model import UpBlockMotion
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from sonovid.core.av import AV
from sonovid.core.condition import Condition
from sonovid.core.model import SavedWeightsMixin, save_linked_weights
from sonovid.models.base import Output
from sonovid.models.svg.connector import Connector, RunningCentring, clip_context, temporal_context
from sonovid.models.svg.fusion import NORM_GROUPS, CMCPEBlock, CrossAttention, FusionModule, SequenceCrossAttention
from sonovid.models.svg.precision import checkpoint_block, cpu_precision

Variant = Literal["cmc_pe", "cross_attention", "cross_attention_sequence"]
VARIANTS = get_args(Variant)
# Fusion modules follow these blocks of both U-Nets: the last two down blocks and the first two up blocks.
DOWN, UP = (-2, -1), (0, 1)
# Steps of the schedules of both base models: a time t in [0, 1] is timestep t * 1000 - 1.
NUM_STEPS = 1000


class SVG(SavedWeightsMixin, ModelMixin, ConfigMixin):
    """The joint model. Initially the fusion modules have no effect, and the outputs are those of the two base models.

    Args:
        video: Settings of a `UNetMotionModel`.
        audio: Settings of a `UNet2DConditionModel` whose class embedding takes the pooled text vector (AudioLDM).
        variant: "cmc_pe": the paper's model. "cross_attention": its baseline after CoDi, with one vector per clip.
            "cross_attention_sequence": one vector per time step (Sec. III-C1).
        context_channels: Channels of the contexts.
        mults: Multipliers of the U-Net's first width for each level of a connector.
        head_width: Channels of an attention head of the fusion modules, per stream.
        text_words: Number of tokens of the null text.
        fold: Side of the squares of video latents that are folded into channels at the input of the U-Net.
        centred: Whether contexts are centred, so that they do not carry what is constant.
        pad_audio: Whether to pad the audio with zeros to a length that the U-Net can halve, and cut the result. Otherwise such a
            length is an error.
        as_released: Whether to reproduce three mistakes of the released code, which its weights need: see `CMCPEBlock`,
            `TemporalBlock` and `temporal_context`.

    Deviation: centred contexts are not part of the paper and off by default. Vectors of unit length that small networks read at
    high learning rates soon collapse to one constant direction without information. Centring subtracts the mean over the clip's
    time from the context of CMC-PE, and the mean over clips from the single vector of cross-attention.
    """

    _supports_gradient_checkpointing = True
    # Set for sharded training.
    runs_all_blocks = False
    # The U-Nets' own blocks hold layers that this class calls by themselves.
    _no_split_modules: ClassVar[list[str]] = ["BasicTransformerBlock", "ResnetBlock2D", "CMCPEBlock", "TemporalBlock"]
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
        check_base_configs(settings)
        self.unets = nn.ModuleDict(
            {"video": build_unet(UNetMotionModel, video), "audio": build_unet(UNet2DConditionModel, audio)}
        )
        if as_released:
            # The diffusers version of the release used 32 groups for these norms, whatever the setting of the U-Net.
            blocks: Any = self.unets["video"].up_blocks
            for motion in (m for up in blocks if type(up) is UpBlockMotion for m in up.motion_modules):
                motion.norm.num_groups = NORM_GROUPS
        build_connector = partial(Connector, mults=tuple(mults), out_channels=context_channels, as_released=as_released)
        self.connectors, self.joins = nn.ModuleDict(), nn.ModuleDict()
        centring = AV._fields if centred and variant == "cross_attention" else ()
        self.centring = nn.ModuleDict({name: RunningCentring(context_channels) for name in centring})
        for name, config, head in zip(AV._fields, settings, head_width, strict=True):
            widths = list(config["block_out_channels"])
            self.connectors[name] = build_connector(
                2 * config["in_channels"], widths[0], time_width=4 * widths[0], use_temporal_blocks=name == "video"
            )
            sites = {f"down_{len(widths) + i}": widths[i] for i in DOWN} | {f"up_{i}": widths[-1 - i] for i in UP}

            def block(channels: int, head: int = head) -> nn.Module:
                if variant == "cmc_pe":
                    return CMCPEBlock(channels, context_channels, head, as_released=as_released)
                sequence = variant == "cross_attention_sequence"
                return (SequenceCrossAttention if sequence else CrossAttention)(channels, context_channels, head)

            self.joins[name] = nn.ModuleDict(
                {site: FusionModule(channels, block(channels), within_steps=name == "video") for site, channels in sites.items()}
            )
            for site in sites:
                direction, index = site.split("_")
                blocks = getattr(self.unets[name], f"{direction}_blocks")
                # Partials of a method instead of closures, so that a copied model calls its own modules.
                blocks[int(index)].register_forward_hook(partial(self._fuse, name, site))
        for name, layer in self.unets["video"].named_modules():
            if name.endswith(("attn2.to_k", "attn2.to_v")) and "motion" not in name:
                layer.register_forward_pre_hook(deduplicate_text)
                layer.register_forward_hook(repeat_per_frame)
        self.register_buffer("null_text", torch.zeros(text_words, video["cross_attention_dim"]))
        self.register_buffer("null_pooled", torch.zeros(audio["projection_class_embeddings_input_dim"]))
        self.gradient_checkpointing = False
        # Connectors are skipped while the base models are trained, each by itself.
        self.bases_only = False
        self._active_contexts: AV | None = None
        self._num_frames = 0

    # --- from base models ------------------------------------------------------------------------------------------------

    @classmethod
    def from_bases(cls, video: nn.Module, audio: nn.Module, **options: Any) -> "SVG":
        """Initialise from two U-Nets, whose weights are copied.

        Args:
            video: A `UNetMotionModel`.
            audio: A `UNet2DConditionModel`.
            **options: Further arguments of `SVG`.

        Raises:
            ValueError: A U-Net is of another class.
        """
        for unet, kind, hint in (
            (video, UNetMotionModel, "create one from an image U-Net with UNetMotionModel.from_unet2d(unet, motion_adapter)"),
            (audio, UNet2DConditionModel, "AudioLDM's is one"),
        ):
            if not isinstance(unet, kind):
                raise ValueError(f"SVG: got a {type(unet).__name__} where a {kind.__name__} is needed: {hint}")
        model = cls(plain_config(video.config), plain_config(audio.config), **options)  # type: ignore[arg-type]
        for name, unet in zip(AV._fields, (video, audio), strict=True):
            model.unets[name].load_state_dict(unet.state_dict())
        return model

    def trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Trainable parameters: connectors, fusion modules and the motion layers of the video U-Net (Sec. III-E)."""
        for name, parameter in self.named_parameters():
            if not name.startswith("unets.") or "motion" in name:
                yield name, parameter

    def train_bases(self) -> "SVG":
        """Require gradients of both U-Nets only, each trained by itself."""
        self.requires_grad_(False)
        self.unets.requires_grad_(True)
        self.bases_only = True
        return self

    def save_pretrained(self, save_directory: Any, **options: Any) -> None:
        """As in diffusers. Within `saved_weights` the file of frozen weights is linked."""
        if self._saved_weights is None or options.get("variant") is not None:
            super().save_pretrained(save_directory, **options)
            return
        self.save_config(save_directory)
        save_linked_weights(self.state_dict(), self._saved_weights, Path(save_directory))

    def freeze_bases(self) -> "SVG":
        """Require gradients of the trainable parameters only, see `trainable`."""
        self.requires_grad_(False)
        for _, parameter in self.trainable():
            parameter.requires_grad_(True)
        return self

    def set_null_condition(self, text: Tensor, pooled: Tensor) -> None:
        """Set the null condition: the outputs of the frozen text encoders for the empty prompt.

        Args:
            text: Token embeddings [k d].
            pooled: Pooled vector [e].

        Raises:
            ValueError: The shapes are not those of the model.
        """
        if text.shape != self.null_text.shape or pooled.shape != self.null_pooled.shape:
            raise ValueError(
                f"SVG: null text {tuple(text.shape)} and pooled vector {tuple(pooled.shape)}; this model takes "
                f"{tuple(self.null_text.shape)} and {tuple(self.null_pooled.shape)}"
            )
        self.null_text, self.null_pooled = text.to(self.null_text), pooled.to(self.null_pooled)

    def enable_gradient_checkpointing(self, gradient_checkpointing_func: Any = None) -> None:
        """Recompute the activations of blocks, connectors and fusion modules in the backward pass (diffusers)."""
        super().enable_gradient_checkpointing(gradient_checkpointing_func or checkpoint_block)

    # --- forward ---------------------------------------------------------------------------------------------------------

    def forward(self, x: AV, t: AV, condition: Condition | None = None, previous: AV | None = None) -> Output:
        """Predict the noise of both streams. The prediction for a stream that no sample generates is zeros.

        Args:
            x: Noisy latents, video [b c t h w] and audio [b c l f].
            t: Timesteps in [0, 1] of each stream, [b].
            condition: Text embeddings for the video and a pooled vector for the audio.
            previous: Last estimate of the clean pair; None: zeros, as at the first step (self-conditioning, Chen et al. 2023).

        Raises:
            ValueError: More frames than the motion layers support, or lengths that cannot be halved as often as needed.
        """
        self.check(x)
        estimate = x.map(torch.zeros_like) if previous is None else previous
        steps, length = x.audio.shape[2], self.audio_length(x.audio.shape[2])
        x, estimate = (AV(self._fold_latents(pair.video), F.pad(pair.audio, (0, 0, 0, length - steps))) for pair in (x, estimate))
        timesteps = t.map(to_timesteps)
        text, pooled = self.text_inputs(condition, len(x.video))
        frames = x.video.shape[2]
        # The motion U-Net takes a copy of the text embeddings for each frame.
        text = text.to(x.video.dtype).repeat_interleave(frames, 0)
        text.repeats = frames  # type: ignore[attr-defined]
        generated = generated_streams(condition)
        with (
            cpu_precision(x.video.device),
            self._use_contexts(None if self.bases_only else self._compute_contexts(x, estimate, timesteps), frames),
        ):
            # The U-Net of a stream that no sample generates is skipped, unless all processes must run the same blocks.
            video, audio = (z.new_zeros(z.shape) for z in x)
            if generated.video or self.runs_all_blocks:
                video = self.unets["video"](x.video, timesteps.video, text).sample
            if generated.audio or self.runs_all_blocks:
                audio = self.unets["audio"](x.audio, timesteps.audio, None, class_labels=pooled.to(x.audio.dtype)).sample
        p = self.config.fold
        video = rearrange(video, "b (c p q) t h w -> b c t (h p) (w q)", p=p, q=p)
        return Output(AV(video, audio[:, :, :steps]))

    def _fold_latents(self, video: Tensor) -> Tensor:
        """Fold squares of latents into channels."""
        p = self.config.fold
        return rearrange(video, "b c t (h p) (w q) -> b (c p q) t h w", p=p, q=p)

    def _compute_contexts(self, x: AV, previous: AV, timesteps: AV) -> AV:
        """The context for each stream. Halves of a batch that only differ in text, as for guidance, share their contexts."""
        names, half = AV(*AV._fields), len(x.video) // 2
        if torch.is_grad_enabled() or not is_duplicated(*x, *previous, *timesteps):
            return AV(*reversed(x.map(self._compute_context, previous, timesteps, names)))
        parts = (pair.map(lambda z: z[:half]) for pair in (previous, timesteps))
        return AV(*reversed(x.map(lambda z: z[:half]).map(self._compute_context, *parts, names))).map(lambda z: torch.cat([z, z]))

    def _compute_context(self, x: Tensor, previous: Tensor, timesteps: Tensor, name: str) -> Tensor:
        """The context that a stream sends to the other one, [b c t]."""
        unet: Any = self.unets[name]
        connector = self.connectors[name]
        time = unet.time_embedding(unet.time_proj(timesteps).to(x.dtype))
        pair = torch.cat([x, previous], 1)
        pair = pair if name == "video" else pair[:, :, None]
        if self.gradient_checkpointing and torch.is_grad_enabled():
            sent = self._gradient_checkpointing_func(connector, pair, time)
        else:
            sent = connector(pair, time)
        if self.config.variant == "cross_attention":
            return clip_context(self.centring[name](sent) if self.config.centred else sent)
        return temporal_context(sent, as_released=self.config.as_released, centred=self.config.centred)

    @contextmanager
    def _use_contexts(self, contexts: AV | None, num_frames: int) -> Iterator[None]:
        """Activate the fusion modules with these contexts while the U-Nets run."""
        self._active_contexts, self._num_frames = contexts, num_frames
        try:
            yield
        finally:
            self._active_contexts = None

    def _fuse(self, name: str, site: str, block: nn.Module, inputs: Any, output: Any) -> Any:
        """Forward hook of a block: apply the fusion module to its hidden state and, for a down block, to its last skip."""
        if self._active_contexts is None:
            return None
        h = output[0] if isinstance(output, tuple) else output
        t, w = self._num_frames, h.shape[-1]
        x = rearrange(h, "(b t) c h w -> b c t (h w)", t=t) if name == "video" else h
        modules: Any = self.joins[name]
        module, context = modules[site], getattr(self._active_contexts, name)
        if self.gradient_checkpointing and torch.is_grad_enabled():
            x = self._gradient_checkpointing_func(module, x, context)
        else:
            x = module(x, context)
        h = rearrange(x, "b c t (h w) -> (b t) c h w", w=w) if name == "video" else x
        return (h, (*output[1][:-1], h)) if isinstance(output, tuple) else h

    def text_inputs(self, condition: Condition | None, b: int) -> tuple[Tensor, Tensor]:
        """Text embeddings [b k d] and a pooled vector [b e] for each sample; the null condition for samples without text.

        Raises:
            ValueError: Embeddings of another encoder, or no pooled vector.
        """
        null_text, null_pooled = self.null_text.expand(b, -1, -1), self.null_pooled.expand(b, -1)
        if condition is None or not condition.text_mask.any():
            return null_text, null_pooled
        if condition.pooled is None:
            raise ValueError("SVG: the condition has text but no pooled vector for the audio; use the text encoder of this model")
        for what, value, null in (("words", condition.text, null_text), ("pooled vectors", condition.pooled, null_pooled)):
            if value.shape[-1] != null.shape[-1]:
                raise ValueError(
                    f"SVG: {what} of {value.shape[-1]} channels; this model takes {null.shape[-1]}: "
                    "use the text encoders it was trained with"
                )
        has_text = condition.text_mask.any(1)
        if has_text.all():
            return condition.text, condition.pooled
        if condition.text.shape[1] != null_text.shape[1]:
            raise ValueError(
                f"SVG: {condition.text.shape[1]} tokens in a batch with samples without text; expected {null_text.shape[1]}: "
                "use a text encoder that pads to this length"
            )
        return (
            torch.where(has_text[:, None, None], condition.text.to(null_text.dtype), null_text),
            torch.where(has_text[:, None], condition.pooled.to(null_pooled.dtype), null_pooled),
        )

    def check(self, x: AV) -> None:
        """Raise ValueError if the U-Nets cannot take latents of these sizes."""
        for name, latents, folded in zip(AV._fields, x, (self.config.fold**2, 1), strict=True):
            expected = self.unets[name].config["in_channels"]  # type: ignore[index]
            if latents.shape[1] * folded != expected:
                squares = f", which is {self.config.fold}x{self.config.fold} latents" if folded > 1 else ""
                raise ValueError(
                    f"SVG: {name} latents of {latents.shape[1]} channels; its U-Net takes {expected}{squares}: use the codec "
                    "it was trained with"
                )
        frames, max_frames = x.video.shape[2], self.config.video.get("motion_max_seq_length", 32)
        if frames > max_frames:
            raise ValueError(
                f"SVG: {frames} frames; the motion layers take up to {max_frames}: generate fewer, or use a longer motion adapter"
            )
        halvings = self.config.fold * 2 ** (len(self.config.video["block_out_channels"]) - 1)
        if x.video.shape[3] % halvings or x.video.shape[4] % halvings:
            raise ValueError(f"SVG: video latents of {x.video.shape[3]}x{x.video.shape[4]}; expected multiples of {halvings}")
        halvings = 2 ** (len(self.config.audio["block_out_channels"]) - 1)
        if x.audio.shape[3] % halvings and x.audio.shape[3] != 1:
            raise ValueError(f"SVG: audio latents of {x.audio.shape[3]} mel positions; expected 1 or a multiple of {halvings}")
        if x.audio.shape[2] % halvings and not self.config.pad_audio:
            raise ValueError(
                f"SVG: {x.audio.shape[2]} audio steps, expected a multiple of {halvings}: use another length, or pad_audio=True"
            )

    def audio_length(self, steps: int) -> int:
        """The number of audio steps, rounded up to what the U-Net can halve."""
        halvings = 2 ** (len(self.config.audio["block_out_channels"]) - 1)
        return math.ceil(steps / halvings) * halvings


def deduplicate_text(layer: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor] | None:
    """Pre-hook of keys and values: of text that is repeated for each frame, only keep one copy. Other inputs pass unchanged."""
    frames = getattr(inputs[0], "repeats", 1)
    if frames == 1:
        return None
    text = inputs[0][::frames]
    text.repeats = frames  # type: ignore[attr-defined]
    return (text,)


def repeat_per_frame(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    """Hook of keys and values: repeat the result of `deduplicate_text` for each frame."""
    return output.repeat_interleave(getattr(inputs[0], "repeats", 1), 0)


def generated_streams(condition: Condition | None) -> AV:
    """For each stream, whether any sample generates it."""
    return AV(True, True) if condition is None else condition.generated.map(lambda g: bool(g.any()))


def is_duplicated(*tensors: Tensor) -> bool:
    """Whether the second half of the batch equals the first, in all of these tensors."""
    half, odd = divmod(len(tensors[0]), 2)
    return half > 0 and not odd and all(torch.equal(z[:half], z[half:]) for z in tensors)


def to_timesteps(t: Tensor) -> Tensor:
    """Timesteps of the base models' schedules from times in [0, 1]; a conditioning stream, at zero, gets the cleanest timestep.

    Rounded to hundredths, so that times of a schedule map to its timesteps despite single precision.
    """
    if t.ndim != 1:
        raise ValueError(f"SVG: times of shape {tuple(t.shape)}; expected one per sample, [b]")
    return (t.double() * NUM_STEPS - 1).round(decimals=2).clamp(min=0).float()


def plain_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config of diffusers as plain values, without private entries."""
    return {key: list(v) if isinstance(v, tuple) else v for key, v in dict(config).items() if not key.startswith("_")}


def build_unet(kind: type, settings: dict[str, Any]) -> Any:
    """A U-Net of these settings with initial weights."""
    return kind.from_config({key: value for key, value in settings.items() if not key.startswith("_")})  # type: ignore[attr-defined]


def check_base_configs(settings: AV) -> None:
    """Raise ValueError if the settings are not those of the two kinds of U-Net, or have too few blocks."""
    for name, config in zip(AV._fields, settings, strict=True):
        widths = list(config.get("block_out_channels", ()))
        if len(widths) < 2:
            raise ValueError(f"SVG: the {name} U-Net has {len(widths)} blocks; fusion modules need at least 2")
        if any(c % 32 for c in widths[-2:]) or widths[0] % 16:
            raise ValueError(
                f"SVG: the {name} U-Net has widths {widths}; the last two must be multiples of 32, and the first of 16"
            )
    if "motion_max_seq_length" not in settings.video:
        raise ValueError("SVG: the video U-Net has no motion layers; add them with UNetMotionModel.from_unet2d(unet, adapter)")
    if settings.audio.get("class_embed_type") != "simple_projection":
        raise ValueError("SVG: the audio U-Net takes no text vector (class_embed_type 'simple_projection'), as AudioLDM's does")


def paper(variant: Variant = "cmc_pe") -> dict[str, Any]:
    """The published size: Stable Diffusion 1.5 with the motion layers of AnimateDiff, and AudioLDM-M."""
    return {
        "video": motion_config((320, 640, 1280, 1280), cross_attention_dim=768, in_channels=4, norm_groups=32),
        "audio": audioldm_config((192, 384, 576, 960), text_width=512, in_channels=8, norm_groups=32),
        "variant": variant,
    }


def tiny(variant: Variant = "cmc_pe") -> dict[str, Any]:
    """A size that trains and samples on a CPU in seconds, for the latents of the packaged model."""
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
    """Settings of an AnimateDiff U-Net of the Stable Diffusion family, for clips of up to `frames` latent frames."""
    num_cross = len(widths) - 1
    return {
        "in_channels": in_channels,
        "out_channels": in_channels,
        "block_out_channels": list(widths),
        "layers_per_block": layers,
        "cross_attention_dim": cross_attention_dim,
        "num_attention_heads": heads,
        "norm_num_groups": norm_groups,
        "down_block_types": ["CrossAttnDownBlockMotion"] * num_cross + ["DownBlockMotion"],
        "up_block_types": ["UpBlockMotion"] + ["CrossAttnUpBlockMotion"] * num_cross,
        "motion_max_seq_length": frames,
        "motion_num_attention_heads": heads,
        "use_motion_mid_block": True,
    }


def audioldm_config(
    widths: tuple[int, ...], *, text_width: int, in_channels: int, norm_groups: int, layers: int = 2, heads: int = 8
) -> dict[str, Any]:
    """Settings of an AudioLDM U-Net, conditioned on one text vector beside the timestep instead of token embeddings."""
    num_cross = len(widths) - 1
    return {
        "in_channels": in_channels,
        "out_channels": in_channels,
        "block_out_channels": list(widths),
        "layers_per_block": layers,
        # Without token embeddings, the cross-attention layers attend to the stream itself.
        "cross_attention_dim": list(widths),
        "attention_head_dim": heads,
        "norm_num_groups": norm_groups,
        "down_block_types": ["DownBlock2D"] + ["CrossAttnDownBlock2D"] * num_cross,
        "up_block_types": ["CrossAttnUpBlock2D"] * num_cross + ["UpBlock2D"],
        "class_embed_type": "simple_projection",
        "projection_class_embeddings_input_dim": text_width,
        "class_embeddings_concat": True,
    }

"""UniForm: one diffusion transformer over the tokens of both streams (Zhao et al. 2025, section 3.2, figure 2).

Docs: docs/uniform.md names the function for each equation and lists where this code deviates from the paper.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sonovid.core import renamed
from sonovid.core.av import AV
from sonovid.core.condition import Condition
from sonovid.core.model import Model, register_to_config
from sonovid.models.base import Output
from sonovid.models.uniform.blocks import Block, ScalarEmbedding, modulate, rotary_embedding
from sonovid.models.uniform.layouts import ColumnsLayout, Layout, LayoutSizes, TokensLayout

LAYOUTS: dict[str, type[Layout]] = {"columns": ColumnsLayout, "tokens": TokensLayout}

# Timesteps in [0, 1] are embedded as those of a 1000-step schedule, like those of the networks whose weights can be loaded.
TIME_SCALE = 1000.0


class UniForm(Model):
    """A transformer of `depth` pairs of a spatial and a temporal block over the tokens of both streams, given text and task.

    Args:
        layout: "columns": the concatenation of the paper. "tokens": one patch embedding per stream.
        depth: Pairs of blocks.
        width: Channels of the tokens; `width` / `heads` must be even.
        heads: Attention heads.
        patch_size: (frames, rows, columns) of one video token.
        video: (channels, rows, columns) of the video latents.
        audio: (channels, bins, steps per latent frame) of the audio latents.
        text_width: Channels of the text embeddings.
        learn_variance: Whether a variance is predicted too (Nichol & Dhariwal 2021, eq. 15).
        fps: Frame rate of clips for which `forward` gets none.

    Raises:
        ValueError: The layout is unknown, or `width` does not fit `heads`.
    """

    _supports_gradient_checkpointing = True
    _no_split_modules: ClassVar[list[str]] = ["Block"]

    @register_to_config
    def __init__(
        self,
        layout: str = "tokens",
        depth: int = 2,
        width: int = 64,
        heads: int = 2,
        patch_size: Sequence[int] = (1, 2, 2),
        video: Sequence[int] = (4, 8, 8),
        audio: Sequence[int] = (8, 1, 2),
        text_width: int = 256,
        learn_variance: bool = False,
        fps: float = 8.0,
    ):
        super().__init__()
        if layout not in LAYOUTS:
            raise ValueError(f"UniForm: layout {layout!r}; expected one of {', '.join(LAYOUTS)}")
        if width % heads or (width // heads) % 2 or width % 4:
            raise ValueError(
                f"UniForm: width {width} with {heads} heads; expected a multiple of 4 and an even width for each head"
            )
        self.grid: Layout = LAYOUTS[layout](LayoutSizes(patch_size, video, audio), width, 2 if learn_variance else 1)
        self.time = ScalarEmbedding(width)
        self.rate = ScalarEmbedding(width)
        self.modulation = nn.Linear(width, 6 * width)
        self.text_in, self.text_out = nn.Linear(text_width, width), nn.Linear(width, width)
        self.null_text = nn.Parameter(torch.randn(text_width) / math.sqrt(text_width))
        self.spatial = nn.ModuleList(Block(width, heads, temporal=False) for _ in range(depth))
        self.temporal = nn.ModuleList(Block(width, heads, temporal=True) for _ in range(depth))
        self.final_table = nn.Parameter(torch.randn(2, width) / math.sqrt(width))
        self.gradient_checkpointing = False
        self._init_weights()

    def _init_weights(self) -> None:
        """Initial values beyond those of the modules: small modulations, no frame rate, an output of zero.

        Deviation: STDiT3 initialises the output by Xavier. From zero, as in DiT, the first steps are not spent on unlearning it.
        """
        for linear in (self.modulation, self.text_in, self.text_out):
            nn.init.normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)
        nn.init.zeros_(self.rate.linear_2.weight)
        nn.init.zeros_(self.rate.linear_2.bias)
        for head in self.grid.heads:
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    def forward(
        self,
        x: AV,
        t: AV,
        condition: Condition | None = None,
        previous: AV | None = None,
        fps: float | None = None,
    ) -> Output:
        """Predict for a noisy pair, in the dtype of `x`.

        Args:
            x: Noisy latents, video [b c t h w] and audio [b c l f] with l = steps * t. Clips may be longer than in training. A
                conditioning stream enters clean, at timestep 0.
            t: Timesteps in [0, 1], where 0 is clean: per sample [b], or per latent frame, video [b t] and audio [b l]. Timesteps
                within one grid step are averaged.
            condition: None: joint generation without text.
            previous: Not used.
            fps: Frame rate, if it differs from the model's.

        Raises:
            ValueError: The streams cannot be fused or do not fit the model.

        Deviation: equations 1 and 2 write a conditioning stream noisy. To do so, pass it noisy with its timestep.
        """
        self.grid.check(x)
        # All activations follow this dtype; under autocast the patch embedding decides it.
        weights = self.modulation.weight
        # Use the device of the input: offloaded weights are elsewhere until their layer runs.
        tokens = self.grid(x.map(lambda z: z.to(weights.dtype)), task_ids(condition, len(x.video), x.video.device))
        b, steps, num_tokens, width = tokens.shape
        times = self.embed_times(t, steps, fps)
        shared = self.modulation(F.silu(times)).to(tokens.dtype)
        shared = expand_to_tokens(shared, self.grid.num_leading_tokens, num_tokens)
        text, mask = self.embed_text(condition, b, tokens)
        rope = rotary_embedding(steps, width // self.config.heads, tokens)
        for spatial, temporal in zip(self.spatial, self.temporal, strict=True):
            tokens = self._run_block(spatial, tokens, shared, text, mask)
            tokens = self._run_block(temporal, tokens, shared, text, mask, rope)
        shift, scale = (times[..., None, :] + self.final_table.to(times.dtype)).unbind(-2)
        shift, scale = (expand_to_tokens(m.to(tokens.dtype), self.grid.num_leading_tokens, num_tokens) for m in (shift, scale))
        pairs = [pair.map(lambda y, z: y.to(z.dtype), x) for pair in self.grid.unpack(modulate(tokens, shift, scale), x)]
        return Output(prediction=pairs[0], variance=pairs[1] if len(pairs) > 1 else None)

    def _run_block(self, block: nn.Module, *inputs) -> Tensor:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return self._gradient_checkpointing_func(block, *inputs)
        return block(*inputs)

    def embed_times(self, t: AV, steps: int, fps: float | None = None) -> Float[Tensor, "b g 2 d"]:
        """Embedded timesteps of audio and video, for all grid steps at once (g = 1) or for each (g = steps).

        Only distinct timesteps are embedded, and tokens share them (generalises STDiT3's frame mask to streams).
        """
        audio, video = (times_per_step(one, steps) for one in (t.audio, t.video))
        audio, video = torch.broadcast_tensors(audio, video)
        rate = torch.tensor([self.config.fps if fps is None else fps], device=video.device, dtype=torch.float32)
        return self.time(TIME_SCALE * torch.stack([audio, video], dim=-1)) + self.rate(rate)

    def embed_text(self, condition: Condition | None, b: int, like: Tensor) -> tuple[Float[Tensor, "b k d"], Bool[Tensor, "b k"]]:
        """Text tokens and their mask. The learnt null token comes first and is only visible for samples without text.

        Deviation: the null is one vector. STDiT3 has one for each of 300 positions.
        """
        null = self.null_text.expand(b, 1, -1)
        if condition is None or condition.text.shape[1] == 0:
            words, mask = null, torch.ones(b, 1, dtype=torch.bool, device=like.device)
        else:
            if condition.text.shape[-1] != self.config.text_width:
                raise ValueError(
                    f"UniForm: words of {condition.text.shape[-1]} channels; this model takes {self.config.text_width}: "
                    "use the text encoder it was trained with"
                )
            present = condition.text_mask
            # Padding may hold any values, including NaN, which an attention mask does not stop.
            words = condition.text.to(null.dtype).masked_fill(~present[..., None], 0.0)
            words, mask = torch.cat([null, words], dim=1), torch.cat([~present.any(1, keepdim=True), present], dim=1)
        return self.text_out(F.gelu(self.text_in(words), approximate="tanh")), mask


def task_ids(condition: Condition | None, b: int, device: torch.device) -> Int[Tensor, "b"]:
    """0: joint, 1: video to audio, 2: audio to video."""
    if condition is None:
        return torch.zeros(b, dtype=torch.long, device=device)
    video, audio = condition.generated
    return ((~video & audio).long() + 2 * (video & ~audio).long()).to(device)


def times_per_step(t: Float[Tensor, "..."], steps: int) -> Float[Tensor, "b g"]:
    """One timestep per sample [b 1] or per grid step [b steps], from timesteps [b] or [b n]."""
    if t.ndim == 1:
        return t[:, None]
    if t.shape[1] % steps:
        raise ValueError(f"UniForm: {t.shape[1]} times for {steps} steps; pass one per sample or one per latent frame")
    return t.unflatten(1, (steps, -1)).mean(-1)


def expand_to_tokens(streams: Float[Tensor, "b g 2 d"], num_leading_tokens: int, num_tokens: int) -> Float[Tensor, "b g s d"]:
    """Expand values of (audio, video) to tokens: those of the audio to the leading tokens, those of the video to the rest.

    Concatenated views, since the backward pass of indexing would scatter.
    """
    audio, video = streams.split(1, dim=2)
    return torch.cat(
        [audio.expand(-1, -1, num_leading_tokens, -1), video.expand(-1, -1, num_tokens - num_leading_tokens, -1)], dim=2
    )


def paper() -> dict[str, Any]:
    """The published size: STDiT3-XL/2 for 4 s of 256 x 256 at 17 fps, with Open-Sora and AudioLDM latents and T5-XXL text."""
    return {
        "layout": "columns",
        "depth": 28,
        "width": 1152,
        "heads": 16,
        "patch_size": (1, 2, 2),
        "video": (4, 32, 32),
        "audio": (8, 16, 5),
        "text_width": 4096,
        "learn_variance": True,
        "fps": 17.0,
    }


def packaged() -> dict[str, Any]:
    """The size of the packaged model "uniform": 2 s of 64 x 64 at 8 fps in 8 grid steps of 21 tokens, with hashed text."""
    return {
        "layout": "tokens",
        "depth": 5,
        "width": 192,
        "heads": 3,
        "patch_size": (2, 2, 2),
        "video": (8, 8, 8),
        "audio": (16, 1, 2),
        "text_width": 256,
        "learn_variance": False,
        "fps": 8.0,
    }


def tiny() -> dict[str, Any]:
    """A size that trains and samples on a CPU in seconds, for the latents of the packaged model "uniform"."""
    return {**packaged(), "depth": 1, "width": 32, "heads": 2}


__getattr__ = renamed.attributes(__name__, {"spine": "packaged"})

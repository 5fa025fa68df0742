"""UniForm: one diffusion transformer over the tokens of both streams (Zhao et al. 2025, section 3.2, figure 2).

Docs: docs/uniform.md names the function for each equation and lists where we part from the paper.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sonovid.core.av import AV
from sonovid.core.condition import Condition
from sonovid.core.model import Model, register_to_config
from sonovid.models.base import Output
from sonovid.models.uniform.blocks import Block, ScalarEmbedding, modulate, rotary
from sonovid.models.uniform.layouts import Columns, Layout, Sizes, Tokens

LAYOUTS: dict[str, type[Layout]] = {"columns": Columns, "tokens": Tokens}

# Times in [0, 1] are embedded as steps of a thousand, as the networks whose weights can be taken over were trained.
TIME_SCALE = 1000.0


class UniForm(Model):
    """A transformer of `depth` pairs of a spatial and a temporal block over the tokens of both streams, the words and the task.

    Args:
        layout: "columns", the paper's concatenation, or "tokens", a patch embedder for each stream.
        depth: pairs of blocks. width, heads: of each block; width / heads must be even.
        patch_size: (frames, rows, columns) of one video token.
        video: (channels, rows, columns) of the video latents the model is made for.
        audio: (channels, bins, steps for each latent frame) of the audio latents.
        text_width: channels of the embedded words.
        learn_variance: whether a variance is predicted beside (Nichol & Dhariwal 2021, eq. 15).
        fps: frames per second of the clips where `forward` is not told otherwise.
    """

    _supports_gradient_checkpointing = True

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
        self.grid: Layout = LAYOUTS[layout](Sizes(patch_size, video, audio), width, 2 if learn_variance else 1)
        self.time = ScalarEmbedding(width)
        self.rate = ScalarEmbedding(width)
        self.modulation = nn.Linear(width, 6 * width)
        self.text_in, self.text_out = nn.Linear(text_width, width), nn.Linear(width, width)
        self.null_text = nn.Parameter(torch.randn(text_width) / math.sqrt(text_width))
        self.spatial = nn.ModuleList(Block(width, heads, temporal=False) for _ in range(depth))
        self.temporal = nn.ModuleList(Block(width, heads, temporal=True) for _ in range(depth))
        self.final_table = nn.Parameter(torch.randn(2, width) / math.sqrt(width))
        self.gradient_checkpointing = False
        self._start()

    def _start(self) -> None:
        """The starting values that are not the modules' own: small modulations, no rate, a silent output.

        Deviation: STDiT3's output starts by Xavier's rule; from zero, as in DiT, the first steps are not spent on unlearning it.
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
        """The prediction for a noisy pair, in the dtype it came in.

        x: video [b c t h w], audio [b c l f] with l = steps * t. Clips may be longer than those trained on. t: times in [0, 1],
        zero is clean; each [b], or per latent frame, video [b t] and audio [b l]; what falls into one step of the grid is
        averaged. A given stream enters clean and with its time zero. condition: None is joint generation without text.
        previous: not used. fps: frames per second, where they are not the model's own.

        Deviation: equations 1 and 2 write a given stream noisy; whoever wants it so gives it so, with its time.

        Raises:
            ValueError: the streams cannot be fused with each other or do not fit the model.
        """
        self.grid.check(x)
        # Everything but the parameters follows this dtype; under autocast the patch embedder decides it.
        weights = self.modulation.weight
        # The device is the input's: weights that are offloaded lie elsewhere until their layer runs.
        tokens = self.grid(x.map(lambda z: z.to(weights.dtype)), task_ids(condition, len(x.video), x.video.device))
        b, steps, num_tokens, width = tokens.shape
        times = self.embed_times(t, steps, fps)
        shared = self.modulation(F.silu(times)).to(tokens.dtype)
        shared = per_token(shared, self.grid.lead, num_tokens)
        text, mask = self.embed_text(condition, b, tokens)
        rope = rotary(steps, width // self.config.heads, tokens)
        for spatial, temporal in zip(self.spatial, self.temporal, strict=True):
            tokens = self._through(spatial, tokens, shared, text, mask)
            tokens = self._through(temporal, tokens, shared, text, mask, rope)
        shift, scale = (times[..., None, :] + self.final_table.to(times.dtype)).unbind(-2)
        shift, scale = (per_token(m.to(tokens.dtype), self.grid.lead, num_tokens) for m in (shift, scale))
        pairs = [pair.map(lambda y, z: y.to(z.dtype), x) for pair in self.grid.unpack(modulate(tokens, shift, scale), x)]
        return Output(prediction=pairs[0], variance=pairs[1] if len(pairs) > 1 else None)

    def _through(self, block: nn.Module, *inputs) -> Tensor:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return self._gradient_checkpointing_func(block, *inputs)
        return block(*inputs)

    def embed_times(self, t: AV, steps: int, fps: float | None = None) -> Float[Tensor, "b g 2 d"]:
        """Embedded times of the audio and the video, for all steps of the grid at once (g = 1) or for each (g = steps).

        Only distinct times pass the embedder; tokens share them (generalises STDiT3's frame mask to streams).
        """
        audio, video = (time_of_steps(one, steps) for one in (t.audio, t.video))
        audio, video = torch.broadcast_tensors(audio, video)
        rate = torch.tensor([self.config.fps if fps is None else fps], device=video.device, dtype=torch.float32)
        return self.time(TIME_SCALE * torch.stack([audio, video], dim=-1)) + self.rate(rate)

    def embed_text(self, condition: Condition | None, b: int, like: Tensor) -> tuple[Float[Tensor, "b k d"], Bool[Tensor, "b k"]]:
        """Words as the blocks see them, and which are there: the learnt null stands first, and only where no word does.

        Deviation: the null is one vector, STDiT3's is one for each of 300 places.
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
            there = condition.text_mask
            # Places without a word may hold anything, also what is not a number; a mask of attention does not stop that.
            words = condition.text.to(null.dtype).masked_fill(~there[..., None], 0.0)
            words, mask = torch.cat([null, words], dim=1), torch.cat([~there.any(1, keepdim=True), there], dim=1)
        return self.text_out(F.gelu(self.text_in(words), approximate="tanh")), mask


def task_ids(condition: Condition | None, b: int, device: torch.device) -> Int[Tensor, "b"]:
    """0 joint, 1 video to audio, 2 audio to video."""
    if condition is None:
        return torch.zeros(b, dtype=torch.long, device=device)
    video, audio = condition.generated
    return ((~video & audio).long() + 2 * (video & ~audio).long()).to(device)


def time_of_steps(t: Float[Tensor, "..."], steps: int) -> Float[Tensor, "b g"]:
    """One time for each sample [b 1] or for each step of the grid [b steps], from times [b] or [b n]."""
    if t.ndim == 1:
        return t[:, None]
    if t.shape[1] % steps:
        raise ValueError(f"UniForm: {t.shape[1]} times for {steps} steps; give one for each sample or for each latent frame")
    return t.unflatten(1, (steps, -1)).mean(-1)


def per_token(streams: Float[Tensor, "b g 2 d"], lead: int, num_tokens: int) -> Float[Tensor, "b g s d"]:
    """What belongs to (audio, video) spread over the tokens: the audio's to the first `lead`, the video's to the rest.

    Views joined once: gathered by index, the backward pass would scatter.
    """
    audio, video = streams.split(1, dim=2)
    return torch.cat([audio.expand(-1, -1, lead, -1), video.expand(-1, -1, num_tokens - lead, -1)], dim=2)


def paper() -> dict[str, Any]:
    """The published size: STDiT3-XL/2 on 4 s of 256 x 256 at 17 fps, Open-Sora and AudioLDM latents, T5-XXL's words."""
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


def spine() -> dict[str, Any]:
    """The packaged model's size: 2 s of 64 x 64 at 8 fps in 8 steps of 21 tokens, hashed words."""
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
    """Small enough to train and sample on a CPU in seconds, on the packaged model's latents."""
    return {**spine(), "depth": 1, "width": 32, "heads": 2}

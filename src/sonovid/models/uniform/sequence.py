"""UniForm as one sequence: full attention over the tokens of both streams and the text, for small models on CPUs.

Deviation from UniForm (Zhao et al. 2025): its STDiT blocks alternate spatial and temporal attention and read the text by
cross-attention. Here every token attends to every other token in parallel blocks (Dehghani et al. 2023, section 2), with skip
connections from the first half of the blocks to the second half (Bao et al. 2023). For a few hundred tokens this is cheaper on a
CPU, and motion crosses positions within one block. `models.uniform.transformer` has the layout of the paper.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from sonovid.core.av import AV
from sonovid.core.condition import Condition
from sonovid.core.model import Model, register_to_config
from sonovid.models.base import Output
from sonovid.models.uniform.blocks import ScalarEmbedding, rms_norm
from sonovid.models.uniform.transformer import TIME_SCALE, task_ids

THETA = 1e3
# Row and column coordinates of audio and text tokens: outside the frame, and apart from each other.
OFF_GRID = -4.0


class ParallelBlock(nn.Module):
    """Attention and MLP in parallel, with one norm, one input projection and one output projection.

    Args:
        width: Channels of the tokens.
        heads: Attention heads.
        expansion: Inner width of the MLP as a multiple of `width`.
        skip: Whether the block takes the output of an earlier block.
    """

    def __init__(self, width: int, heads: int, expansion: int, *, skip: bool):
        super().__init__()
        self.heads, self.inner = heads, expansion * width
        self.table = nn.Parameter(torch.zeros(3, width))
        self.project_in = nn.Linear(width, 3 * width + self.inner)
        self.query_norm = nn.Parameter(torch.ones(width // heads))
        self.key_norm = nn.Parameter(torch.ones(width // heads))
        self.project_out = nn.Linear(width + self.inner, width)
        self.skip = nn.Linear(width, width, bias=False) if skip else None
        nn.init.xavier_uniform_(self.project_in.weight)
        nn.init.zeros_(self.project_in.bias)
        nn.init.zeros_(self.project_out.weight)
        nn.init.zeros_(self.project_out.bias)
        if self.skip is not None:
            nn.init.zeros_(self.skip.weight)

    def forward(
        self,
        x: Float[Tensor, "b k d"],
        modulation: Sequence[Float[Tensor, "b _ three_d"]],
        sizes: Sequence[int],
        rope: tuple[Tensor, Tensor],
        earlier: Float[Tensor, "b k d"] | None = None,
    ) -> Float[Tensor, "b k d"]:
        """Tokens with the output of the block added.

        Args:
            x: Tokens.
            modulation: Shift, scale and gate of each segment of the sequence, one for all of its tokens or one per token.
            sizes: Number of tokens of each segment.
            rope: Cosines and sines of all positions.
            earlier: Tokens of the skip connection.
        """
        d = x.shape[-1]
        if self.skip is not None and earlier is not None:
            x = x + self.skip(earlier)
        triples = [(one + self.table.flatten()).chunk(3, dim=-1) for one in modulation]
        normed = F.layer_norm(x, (d,), eps=1e-6).split(list(sizes), dim=1)
        y = torch.cat([torch.addcmul(m[0], part, 1 + m[1]) for part, m in zip(normed, triples, strict=True)], dim=1)
        qkv, hidden = self.project_in(y.to(x.dtype)).split([3 * d, self.inner], dim=-1)
        q, key, v = rearrange(qkv, "b k (three h e) -> three b h k e", three=3, h=self.heads)
        q, key = apply_rotary(rms_norm(q, self.query_norm), rope), apply_rotary(rms_norm(key, self.key_norm), rope)
        mixed = rearrange(attend(q, key, v), "b h k e -> b k (h e)")
        out = self.project_out(torch.cat([mixed, F.relu(hidden).square()], dim=-1)).split(list(sizes), dim=1)
        return x + torch.cat([part * m[2].to(part.dtype) for part, m in zip(out, triples, strict=True)], dim=1)


def attend(q: Float[Tensor, "b h k e"], key: Float[Tensor, "b h k e"], v: Float[Tensor, "b h k e"]) -> Float[Tensor, "b h k e"]:
    """Full attention over all tokens."""
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, key, v)
    # For a few hundred tokens two matrix products are faster than the fused CPU kernel, mostly in the backward pass.
    b, h = q.shape[:2]
    flat = [one.reshape(b * h, *one.shape[2:]) for one in (q * q.shape[-1] ** -0.5, key, v)]
    return torch.bmm(torch.bmm(flat[0], flat[1].transpose(1, 2)).softmax(-1), flat[2]).unflatten(0, (b, h))


def apply_rotary(x: Float[Tensor, "b h k e"], rope: tuple[Tensor, Tensor]) -> Float[Tensor, "b h k e"]:
    """Rotate x by the angles of its position. Channel i is paired with channel i + e/2."""
    cos, sin = rope
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def rotary_angles(positions: Float[Tensor, "k 3"], head_width: int) -> tuple[Float[Tensor, "k e2"], Float[Tensor, "k e2"]]:
    """Cosines and sines of a rotary embedding over time, rows and columns, with 4/10, 3/10 and 3/10 of the channel pairs."""
    pairs = head_width // 2
    rows = 3 * pairs // 10
    parts = []
    for axis, count in enumerate((pairs - 2 * rows, rows, rows)):
        frequency = THETA ** (-torch.arange(count, device=positions.device, dtype=torch.float32) / count)
        parts.append(positions[:, axis, None] * frequency)
    angle = torch.cat(parts, dim=-1)
    return angle.cos(), angle.sin()


class SequenceUniForm(Model):
    """One transformer over one sequence of video latent cells, audio latent steps and the words of the prompt.

    Args:
        depth: Number of blocks.
        width: Channels of the tokens; `width` / `heads` must be even.
        heads: Attention heads.
        expansion: Inner width of the MLPs as a multiple of `width`.
        video: (channels, rows, columns) of the video latents.
        audio: (channels, bins, steps per latent frame) of the audio latents.
        text_width: Channels of the text embeddings.
        words: Number of text tokens. Further words of a prompt are ignored.
        fps: Frame rate of the training clips. Not used: positions in time count latent frames.

    Raises:
        ValueError: `width` does not fit `heads`.
    """

    _supports_gradient_checkpointing = True
    _no_split_modules: ClassVar[list[str]] = ["ParallelBlock"]

    @register_to_config
    def __init__(
        self,
        depth: int = 8,
        width: int = 384,
        heads: int = 6,
        expansion: int = 4,
        video: Sequence[int] = (32, 6, 6),
        audio: Sequence[int] = (32, 1, 4),
        text_width: int = 256,
        words: int = 24,
        fps: float = 16.0,
    ):
        super().__init__()
        if width % heads or (width // heads) % 2:
            raise ValueError(f"SequenceUniForm: width {width} with {heads} heads; expected an even width for each head")
        channels, rows, columns = video
        self.embed_video = nn.Linear(channels, width)
        self.embed_audio = nn.Linear(audio[0] * audio[1], width)
        self.embed_words = nn.Linear(text_width, width)
        self.places = nn.Parameter(0.02 * torch.randn(rows * columns, width))
        self.kinds = nn.Parameter(0.02 * torch.randn(3, width))
        self.no_word = nn.Parameter(0.02 * torch.randn(words, width))
        self.task = nn.Embedding(3, width)
        self.times = nn.ModuleList(ScalarEmbedding(width) for _ in range(2))
        # From both timestep embeddings to the modulation inputs of video, audio and text.
        self.mix = nn.Linear(2 * width, 3 * width)
        self.modulation = nn.Linear(width, 3 * width)
        self.blocks = nn.ModuleList(ParallelBlock(width, heads, expansion, skip=i >= (depth + 1) // 2) for i in range(depth))
        self.final = nn.Linear(width, 2 * width)
        self.head_video, self.head_audio = nn.Linear(width, channels), nn.Linear(width, audio[0] * audio[1])
        for linear in (self.final, self.head_video, self.head_audio):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)
        nn.init.normal_(self.task.weight, std=0.02)
        nn.init.normal_(self.modulation.weight, std=0.02)
        nn.init.zeros_(self.modulation.bias)
        self.gradient_checkpointing = False

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
            x: Noisy latents, video [b c t h w] and audio [b c l f] with l = steps * t. A conditioning stream enters clean, at
                timestep 0.
            t: Timesteps in [0, 1], where 0 is clean: per sample [b], or per latent frame, video [b t] and audio [b l].
            condition: None: joint generation without text.
            previous: Not used.
            fps: Not used.

        Raises:
            ValueError: The streams do not fit the model or each other.
        """
        channels, rows, columns = self.config.video
        b, c, frames, h, w = x.video.shape
        if (c, h, w) != (channels, rows, columns) or x.audio.shape[1] * x.audio.shape[3] != self.embed_audio.in_features:
            raise ValueError(
                f"SequenceUniForm: latents {tuple(x.video.shape[1:])} and {tuple(x.audio.shape[1:])}; this model takes video "
                f"({channels}, t, {rows}, {columns}) and audio {tuple(self.config.audio[:1])} x l x {self.config.audio[1]}"
            )
        if x.audio.shape[2] != frames * self.config.audio[2]:
            raise ValueError(
                f"SequenceUniForm: {x.audio.shape[2]} audio steps for {frames} latent frames; "
                f"expected {self.config.audio[2]} per frame"
            )
        weights = self.embed_video.weight
        video = self.embed_video(rearrange(x.video.to(weights.dtype), "b c t h w -> b t (h w) c"))
        video = rearrange(video + self.places.to(video.dtype), "b t s d -> b (t s) d")
        audio = self.embed_audio(rearrange(x.audio.to(weights.dtype), "b c l f -> b l (c f)"))
        kinds = self.kinds.to(video.dtype)
        segments = [video + kinds[0], audio + kinds[1], self.words(condition, b).to(video.dtype) + kinds[2]]
        sizes = [part.shape[1] for part in segments]
        conditions = self.modulation_inputs(t, condition, b, (frames, h * w, audio.shape[1]))
        shared = [self.modulation(F.silu(one)).to(video.dtype) for one in conditions]
        cos, sin = rotary_angles(self.positions(frames, audio.shape[1], sizes[2]), self.config.width // self.config.heads)
        rope = (cos.to(video.dtype), sin.to(video.dtype))
        tokens = torch.cat(segments, dim=1)
        skips: list[Tensor] = []
        for i, block in enumerate(self.blocks):
            earlier = skips.pop() if block.skip is not None else None
            tokens = self._run_block(block, tokens, shared, sizes, rope, earlier)
            if i < len(self.blocks) // 2:
                skips.append(tokens)
        video, audio = F.layer_norm(tokens[:, : sizes[0] + sizes[1]], tokens.shape[-1:], eps=1e-6).split(sizes[:2], dim=1)
        outputs = []
        for part, one, head in zip((video, audio), conditions[:2], (self.head_video, self.head_audio), strict=True):
            shift, scale = self.final(F.silu(one)).to(part.dtype).chunk(2, dim=-1)
            outputs.append(head(torch.addcmul(shift, part, 1 + scale)))
        out = AV(
            rearrange(outputs[0], "b (t h w) c -> b c t h w", t=frames, h=h),
            rearrange(outputs[1], "b l (c f) -> b c l f", f=x.audio.shape[3]),
        )
        return Output(prediction=out.map(lambda y, z: y.to(z.dtype), x))

    def _run_block(self, block: nn.Module, *inputs: Any) -> Tensor:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return self._gradient_checkpointing_func(block, *inputs)
        return block(*inputs)

    def words(self, condition: Condition | None, b: int) -> Float[Tensor, "b k d"]:
        """Text tokens. A learnt embedding replaces missing words."""
        empty = self.no_word.expand(b, -1, -1)
        if condition is None or condition.text.shape[1] == 0:
            return empty
        if condition.text.shape[-1] != self.config.text_width:
            raise ValueError(
                f"SequenceUniForm: words of {condition.text.shape[-1]} channels; this model takes {self.config.text_width}: "
                "use the text encoder it was trained with"
            )
        missing = max(0, self.config.words - condition.text.shape[1])
        present = F.pad(condition.text_mask, (0, missing))[:, : self.config.words, None]
        text = F.pad(condition.text, (0, 0, 0, missing))[:, : self.config.words]
        # Padding may hold any values, including NaN.
        embedded = self.embed_words(text.to(self.embed_words.weight.dtype).masked_fill(~present, 0.0))
        return torch.where(present, embedded, empty.to(embedded.dtype))

    def modulation_inputs(
        self, t: AV, condition: Condition | None, b: int, counts: tuple[int, int, int]
    ) -> list[Float[Tensor, "b _ d"]]:
        """Embeddings of timesteps and task for video, audio and text, for all tokens or per token."""
        frames, cells, steps = counts
        task = self.task(task_ids(condition, b, self.task.weight.device))[:, None]
        one = t.map(lambda s: s[:, None] if s.ndim == 1 else s)
        if t.video.ndim == 1 and t.audio.ndim == 1:
            return [part + task for part in self._mix_times(one).chunk(3, dim=-1)]
        # Timesteps per latent frame: resample those of the other stream to the same steps.
        per = steps // frames
        video = one.video.expand(-1, frames)
        audio = one.audio.expand(-1, steps)
        at_frames = self._mix_times(AV(video, audio.unflatten(1, (frames, per)).mean(-1)))
        at_steps = self._mix_times(AV(video.repeat_interleave(per, 1), audio))
        overall = self._mix_times(AV(video.mean(1, keepdim=True), audio.mean(1, keepdim=True)))
        parts = [found.chunk(3, dim=-1)[i] for i, found in enumerate((at_frames, at_steps, overall))]
        return [parts[0].repeat_interleave(cells, 1) + task, parts[1] + task, parts[2] + task]

    def _mix_times(self, t: AV) -> Float[Tensor, "b g three_d"]:
        both = [embed(TIME_SCALE * one) for embed, one in zip(self.times, t, strict=True)]
        return self.mix(F.silu(torch.cat(both, dim=-1)))

    def positions(self, frames: int, steps: int, words: int) -> Float[Tensor, "k 3"]:
        """Time, row and column of every token, in latent frames and cells."""
        _, rows, columns = self.config.video
        device = self.places.device
        t, h, w = (torch.arange(n, device=device, dtype=torch.float32) for n in (frames, rows, columns))
        video = torch.stack(torch.meshgrid(t, h, w, indexing="ij"), dim=-1).flatten(0, 2)
        at = (torch.arange(steps, device=device, dtype=torch.float32) + 0.5) * (frames / steps) - 0.5
        audio = torch.stack([at, *(torch.full_like(at, OFF_GRID) for _ in range(2))], dim=-1)
        order = torch.arange(words, device=device, dtype=torch.float32)
        text = torch.stack([torch.full_like(order, OFF_GRID), torch.full_like(order, 2 * OFF_GRID), order], dim=-1)
        return torch.cat([video, audio, text])

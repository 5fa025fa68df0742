"""UniForm as one sequence: full attention over the tokens of both streams and the words, for small models on small machines.

Deviation from UniForm (Zhao et al. 2025): its STDiT blocks alternate attention in space and in time and read the words by
cross-attention. Here every token attends to every other in parallel blocks (Dehghani et al. 2023, section 2), with skips from the
first half of the blocks to the second (Bao et al. 2023). At a few hundred tokens that costs less on a CPU, and what moves
crosses from place to place in one block. `models.uniform.transformer` keeps the paper's layout.
"""

from collections.abc import Sequence
from typing import Any

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
# Where words and sounds lie on the axes of the picture: off it, and apart from each other.
OFF_GRID = -4.0


class ParallelBlock(nn.Module):
    """Attention and MLP side by side: one norm, one projection in, one out.

    Args:
        width, heads: of the tokens. expansion: inner width of the MLP over `width`.
        skip: whether the block takes in the output of an earlier one.
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
        """Tokens with the block's output added.

        modulation: shift, scale and gate for each segment of the sequence, one for all of its tokens or one for each.
        sizes: tokens of each segment. rope: cosines and sines of all places. earlier: the tokens of the block skipped from.
        """
        d = x.shape[-1]
        if self.skip is not None and earlier is not None:
            x = x + self.skip(earlier)
        triples = [(one + self.table.flatten()).chunk(3, dim=-1) for one in modulation]
        normed = F.layer_norm(x, (d,), eps=1e-6).split(list(sizes), dim=1)
        y = torch.cat([torch.addcmul(m[0], part, 1 + m[1]) for part, m in zip(normed, triples, strict=True)], dim=1)
        qkv, hidden = self.project_in(y.to(x.dtype)).split([3 * d, self.inner], dim=-1)
        q, key, v = rearrange(qkv, "b k (three h e) -> three b h k e", three=3, h=self.heads)
        q, key = rotate(rms_norm(q, self.query_norm), rope), rotate(rms_norm(key, self.key_norm), rope)
        mixed = rearrange(attend(q, key, v), "b h k e -> b k (h e)")
        out = self.project_out(torch.cat([mixed, F.relu(hidden).square()], dim=-1)).split(list(sizes), dim=1)
        return x + torch.cat([part * m[2].to(part.dtype) for part, m in zip(out, triples, strict=True)], dim=1)


def attend(q: Float[Tensor, "b h k e"], key: Float[Tensor, "b h k e"], v: Float[Tensor, "b h k e"]) -> Float[Tensor, "b h k e"]:
    """Attention of all places to all."""
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, key, v)
    # The fused kernel for CPUs takes longer at a few hundred places, above all backwards. Two batched products and a softmax.
    b, h = q.shape[:2]
    flat = [one.reshape(b * h, *one.shape[2:]) for one in (q * q.shape[-1] ** -0.5, key, v)]
    return torch.bmm(torch.bmm(flat[0], flat[1].transpose(1, 2)).softmax(-1), flat[2]).unflatten(0, (b, h))


def rotate(x: Float[Tensor, "b h k e"], rope: tuple[Tensor, Tensor]) -> Float[Tensor, "b h k e"]:
    """x turned by the angles of its place; channel i pairs with channel i + e/2."""
    cos, sin = rope
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def angles(places: Float[Tensor, "k 3"], head_width: int) -> tuple[Float[Tensor, "k e2"], Float[Tensor, "k e2"]]:
    """Cosines and sines of rotary embedding over time, rows and columns, with four, three and three tenths of the pairs."""
    pairs = head_width // 2
    rows = 3 * pairs // 10
    found = []
    for axis, count in enumerate((pairs - 2 * rows, rows, rows)):
        frequency = THETA ** (-torch.arange(count, device=places.device, dtype=torch.float32) / count)
        found.append(places[:, axis, None] * frequency)
    angle = torch.cat(found, dim=-1)
    return angle.cos(), angle.sin()


class SequenceUniForm(Model):
    """One transformer over one sequence: the video's latent cells, the sound's latent steps, and the words of the prompt.

    Args:
        depth, width, heads: blocks, channels, attention heads; width / heads must be even. expansion: inner width of the MLPs.
        video: (channels, rows, columns) of the video latents. audio: (channels, bins, steps for each latent frame).
        text_width: channels of the embedded words. words: places for words; what a prompt has beyond them is not seen.
        fps: latent frames' place in time is counted in frames; kept for the record.
    """

    _supports_gradient_checkpointing = True

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
        # What the time of either stream means to the video, the sound and the words.
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
        """The prediction for a noisy pair, in the dtype it came in.

        x: video [b c t h w], audio [b c l f] with l = steps * t. t: times in [0, 1], zero is clean; each [b], or per latent
        frame, video [b t] and audio [b l]. A given stream enters clean and with its time zero. condition: None is joint
        generation without text. previous, fps: not used.

        Raises:
            ValueError: the streams do not fit the model or each other.
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
                f"SequenceUniForm: {x.audio.shape[2]} audio steps beside {frames} latent frames; "
                f"expected {self.config.audio[2]} each"
            )
        weights = self.embed_video.weight
        video = self.embed_video(rearrange(x.video.to(weights.dtype), "b c t h w -> b t (h w) c"))
        video = rearrange(video + self.places.to(video.dtype), "b t s d -> b (t s) d")
        audio = self.embed_audio(rearrange(x.audio.to(weights.dtype), "b c l f -> b l (c f)"))
        kinds = self.kinds.to(video.dtype)
        segments = [video + kinds[0], audio + kinds[1], self.words(condition, b).to(video.dtype) + kinds[2]]
        sizes = [part.shape[1] for part in segments]
        conditions = self.conditions(t, condition, b, (frames, h * w, audio.shape[1]))
        shared = [self.modulation(F.silu(one)).to(video.dtype) for one in conditions]
        cos, sin = angles(self.grid(frames, audio.shape[1], sizes[2]), self.config.width // self.config.heads)
        rope = (cos.to(video.dtype), sin.to(video.dtype))
        tokens = torch.cat(segments, dim=1)
        passed: list[Tensor] = []
        for i, block in enumerate(self.blocks):
            earlier = passed.pop() if block.skip is not None else None
            tokens = self._through(block, tokens, shared, sizes, rope, earlier)
            if i < len(self.blocks) // 2:
                passed.append(tokens)
        video, audio = F.layer_norm(tokens[:, : sizes[0] + sizes[1]], tokens.shape[-1:], eps=1e-6).split(sizes[:2], dim=1)
        made = []
        for part, one, head in zip((video, audio), conditions[:2], (self.head_video, self.head_audio), strict=True):
            shift, scale = self.final(F.silu(one)).to(part.dtype).chunk(2, dim=-1)
            made.append(head(torch.addcmul(shift, part, 1 + scale)))
        out = AV(
            rearrange(made[0], "b (t h w) c -> b c t h w", t=frames, h=h),
            rearrange(made[1], "b l (c f) -> b c l f", f=x.audio.shape[3]),
        )
        return Output(prediction=out.map(lambda y, z: y.to(z.dtype), x))

    def _through(self, block: nn.Module, *inputs: Any) -> Tensor:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return self._gradient_checkpointing_func(block, *inputs)
        return block(*inputs)

    def words(self, condition: Condition | None, b: int) -> Float[Tensor, "b k d"]:
        """Embedded words at as many places as the model has; a learnt vector of its own stands where there is none."""
        empty = self.no_word.expand(b, -1, -1)
        if condition is None or condition.text.shape[1] == 0:
            return empty
        if condition.text.shape[-1] != self.config.text_width:
            raise ValueError(
                f"SequenceUniForm: words of {condition.text.shape[-1]} channels; this model takes {self.config.text_width}: "
                "use the text encoder it was trained with"
            )
        missing = max(0, self.config.words - condition.text.shape[1])
        there = F.pad(condition.text_mask, (0, missing))[:, : self.config.words, None]
        text = F.pad(condition.text, (0, 0, 0, missing))[:, : self.config.words]
        # Places without a word may hold anything, also what is not a number.
        embedded = self.embed_words(text.to(self.embed_words.weight.dtype).masked_fill(~there, 0.0))
        return torch.where(there, embedded, empty.to(embedded.dtype))

    def conditions(
        self, t: AV, condition: Condition | None, b: int, counts: tuple[int, int, int]
    ) -> list[Float[Tensor, "b _ d"]]:
        """What modulates the video, the sound and the words: both streams' times and the task, for all tokens or for each."""
        frames, cells, steps = counts
        task = self.task(task_ids(condition, b, self.task.weight.device))[:, None]
        one = t.map(lambda s: s[:, None] if s.ndim == 1 else s)
        if t.video.ndim == 1 and t.audio.ndim == 1:
            return [part + task for part in self._mixed(one).chunk(3, dim=-1)]
        # A time of its own for each latent frame: the other stream's times are brought to the same steps.
        per = steps // frames
        video = one.video.expand(-1, frames)
        audio = one.audio.expand(-1, steps)
        at_frames = self._mixed(AV(video, audio.unflatten(1, (frames, per)).mean(-1)))
        at_steps = self._mixed(AV(video.repeat_interleave(per, 1), audio))
        overall = self._mixed(AV(video.mean(1, keepdim=True), audio.mean(1, keepdim=True)))
        parts = [found.chunk(3, dim=-1)[i] for i, found in enumerate((at_frames, at_steps, overall))]
        return [parts[0].repeat_interleave(cells, 1) + task, parts[1] + task, parts[2] + task]

    def _mixed(self, t: AV) -> Float[Tensor, "b g three_d"]:
        both = [embed(TIME_SCALE * one) for embed, one in zip(self.times, t, strict=True)]
        return self.mix(F.silu(torch.cat(both, dim=-1)))

    def grid(self, frames: int, steps: int, words: int) -> Float[Tensor, "k 3"]:
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

"""MM-LDM's generator: a transformer over `[context][EOS_a][audio][EOS_v][video]` (Sun et al. 2024, section 3.2, figure 2).

Docs: docs/systems/mmldm.md names the function for each equation and lists where this code deviates from the paper.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sonovid.core.av import AV
from sonovid.core.condition import Condition
from sonovid.core.model import Model, register_to_config
from sonovid.models.base import Output
from sonovid.models.mmldm.layers import Block, FinalLayer, StreamEmbedding, embed_time, from_tokens, init_weights, to_tokens
from sonovid.models.uniform.blocks import ScalarEmbedding

Context = Literal["learnt", "class", "text"]
# A time t in [0, 1] is timestep t * 1000 - 1 of the schedule.
NUM_STEPS = 1000
# Audio tokens precede video tokens.
ORDER = ("audio", "video")


class MMLDM(Model):
    """`depth` blocks of full self-attention over the context and the latents of both streams.

    In a pair, a stream that the model does not generate is a tensor without elements, such as audio [b c 0 f]. Sampling and
    training pass it through, and its loss is NaN, which counts as not scored.

    Args:
        video: (channels, rows, columns) of the video latents, one image for a whole window: [b c 1 h w]. None: audio only
            (MM-LDM-a).
        audio: (channels, mel positions, steps) of the audio latents [b c l f]. None: video only (MM-LDM-v).
        width: Channels of the blocks; a multiple of 4 and of `heads`.
        depth: Number of blocks.
        heads: Attention heads.
        context: "learnt": learnt tokens (unconditional). "class": learnt tokens plus a class embedding. "text": text embeddings.
        context_tokens: Number of context tokens.
        context_width: Channels of the context before its projection.
        num_classes: Number of classes, for context "class".

    Raises:
        ValueError: The settings do not fit each other.

    Deviation: class contexts are ours. The generator of the paper has none, though the paper shows samples by class.
    """

    _supports_gradient_checkpointing = True
    _no_split_modules: ClassVar[list[str]] = ["Block"]

    @register_to_config
    def __init__(
        self,
        video: Sequence[int] | None = (16, 16, 16),
        audio: Sequence[int] | None = (16, 8, 8),
        *,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        context: Context = "learnt",
        context_tokens: int = 77,
        context_width: int = 768,
        num_classes: int = 0,
    ):
        super().__init__()
        if context not in ("learnt", "class", "text"):
            raise ValueError(f"MMLDM: context {context!r}; expected 'learnt', 'class' or 'text'")
        if (context == "class") != (num_classes > 0):
            raise ValueError(f"MMLDM: context {context!r} with {num_classes} classes; classes go with context 'class' alone")
        if width % heads or width % 4:
            raise ValueError(f"MMLDM: width {width} with {heads} heads; expected a multiple of 4 and of the heads")
        sizes = {"audio": audio, "video": video}
        self.sizes = {name: tuple(sizes[name]) for name in ORDER if sizes[name] is not None}  # type: ignore[arg-type]
        if not self.sizes:
            raise ValueError("MMLDM: neither video nor audio; give the sizes of at least one stream")
        self.entrances = nn.ModuleDict(
            {name: StreamEmbedding(size[0], size[1], size[2], width) for name, size in self.sizes.items()}
        )
        self.given_in = nn.ModuleDict({name: nn.Linear(size[0], width) for name, size in self.sizes.items()})
        self.time = ScalarEmbedding(width)
        self.context_in = nn.Linear(context_width, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.exits = nn.ModuleDict({name: FinalLayer(width, size[0]) for name, size in self.sizes.items()})
        init_weights(self)
        for linear in self.given_in.values():
            # The zero convolutions of the paper: at first a conditioning stream has no effect.
            nn.init.zeros_(linear.weight)  # type: ignore[arg-type]
        for linear in (self.time.linear_1, self.time.linear_2):
            nn.init.normal_(linear.weight, std=0.02)
        if context != "text":
            self.learnt_context = nn.Parameter(0.02 * torch.randn(context_tokens, context_width))
        if context == "class":
            self.classes = nn.Embedding(num_classes, context_width)
            nn.init.normal_(self.classes.weight, std=0.02)
        self.gradient_checkpointing = False

    @property
    def generated_streams(self) -> AV:
        """Which streams the model generates."""
        return AV(*(name in self.sizes for name in AV._fields))

    def forward(
        self,
        x: AV,
        t: AV,
        condition: Condition | None = None,
        previous: AV | None = None,
        *,
        conditioning: AV | None = None,
        drop_context: Bool[Tensor, "b"] | None = None,
        context: Float[Tensor, "b k d"] | None = None,
        residuals: Sequence[Tensor] = (),
    ) -> Output:
        """Predict the noise of both streams, in the dtype of `x`.

        Args:
            x: Latents, video [b c 1 h w] and audio [b c l f]. Both are noisy, also a conditioning stream (section 3.3).
            t: One timestep in [0, 1] per sample, [b], equal for both streams.
            condition: Text or labels.
            previous: Not used.
            conditioning: Clean latents of the conditioning streams, in the shapes of `x`. Zeros or None are the null modality.
            drop_context: True [b] where the null context, zeros, replaces the context.
            context: Output of `embed_context`, so that sampling projects the context once. `condition` and `drop_context` are
                then not used.
            residuals: Tensors that are added to the outputs of the first blocks.

        Raises:
            ValueError: Latents of other sizes, timesteps that differ between the streams, or a context that the model does not
                take.
        """
        self.check(x)
        if conditioning is not None:
            self.check(conditioning, allow_missing=True)
        time = embed_time(self.time, self.timesteps(t))
        if context is None:
            context = self.embed_context(condition, len(x.video), drop_context)
        tokens = torch.cat([context, *self.embed_streams(x, conditioning)], dim=1)
        for index, block in enumerate(self.blocks):
            if self.gradient_checkpointing and torch.is_grad_enabled():
                tokens = self._gradient_checkpointing_func(block, tokens, time)
            else:
                tokens = block(tokens, time)
            if index < len(residuals):
                tokens = tokens + residuals[index]
        return Output(self.unembed_streams(tokens, time, x))

    def embed_streams(self, x: AV, conditioning: AV | None = None) -> list[Float[Tensor, "b k d"]]:
        """Tokens of each stream, audio first: EOS, then the noisy latents plus the conditioning latents."""
        parts = []
        for name, entrance in self.entrances.items():
            linear: Any = self.given_in[name]
            clean = None if conditioning is None else getattr(conditioning, name)
            offset = linear.bias if clean is None else linear(to_tokens(name, clean).to(linear.weight.dtype))
            parts.append(entrance(to_tokens(name, getattr(x, name)).to(linear.weight.dtype), offset))
        return parts

    def unembed_streams(self, tokens: Float[Tensor, "b k d"], time: Float[Tensor, "b d"], x: AV) -> AV:
        """Predictions of the streams from all tokens, in the shapes of `x`."""
        lengths = [rows * columns for _, rows, columns in self.sizes.values()]
        predictions, end = {}, tokens.shape[1]
        for name, length in reversed(list(zip(self.sizes, lengths, strict=True))):
            predictions[name] = from_tokens(name, self.exits[name](tokens[:, end - length : end], time), getattr(x, name))
            end -= length + 1
        return AV(*(predictions.get(name, getattr(x, name)) for name in AV._fields))

    # --- conditions ------------------------------------------------------------------------------------------------------

    def embed_context(
        self, condition: Condition | None, b: int, drop_context: Bool[Tensor, "b"] | None = None
    ) -> Float[Tensor, "b k d"]:
        """Context tokens at the width of the blocks. Constant over the sampling steps."""
        return self.context_in(self.raw_context(condition, b, drop_context))

    def raw_context(
        self, condition: Condition | None, b: int, drop_context: Bool[Tensor, "b"] | None = None
    ) -> Float[Tensor, "b k e"]:
        """Context tokens before their projection; zeros for samples without a context.

        The number of tokens is always `context_tokens`, so that a sample does not depend on the text length of the rest of the
        batch.

        Raises:
            ValueError: A label for a model without classes, an unknown class, or text embeddings of another encoder.
        """
        labels = None if condition is None else condition.labels
        if labels is not None and self.config.context != "class":
            raise ValueError(f"MMLDM: got labels, but this model's context is {self.config.context!r}: leave the label out")
        tokens = self._text_tokens(condition, b) if self.config.context == "text" else self.learnt_context.expand(b, -1, -1)
        if self.config.context == "class":
            if labels is None:
                tokens = torch.zeros_like(tokens)
            else:
                count = self.config.num_classes
                if int(labels.max()) >= count or int(labels.min()) < -1:
                    raise ValueError(
                        f"MMLDM: labels {labels.tolist()}; this model knows classes 0 to {count - 1}, and -1 for none"
                    )
                labelled = tokens + self.classes(labels.clamp(min=0))[:, None]
                tokens = labelled.masked_fill((labels < 0)[:, None, None], 0.0)
        return tokens if drop_context is None else tokens.masked_fill(drop_context[:, None, None], 0.0)

    def _text_tokens(self, condition: Condition | None, b: int) -> Float[Tensor, "b k e"]:
        """Text embeddings, padded with zeros."""
        width, length, like = self.config.context_width, self.config.context_tokens, self.context_in.weight
        if condition is None:
            return like.new_zeros(b, length, width)
        words = condition.text
        # A condition without words may have any width.
        if words.shape[-1] != width:
            if condition.text_mask.any():
                raise ValueError(
                    f"MMLDM: words of {words.shape[-1]} channels; this model takes {width}: use its own text encoder"
                )
            return like.new_zeros(b, length, width)
        if words.shape[1] > length:
            raise ValueError(f"MMLDM: {words.shape[1]} words; this model takes {length}: shorten the text")
        words = words.to(like.dtype).masked_fill(~condition.text_mask[..., None], 0.0)
        return nn.functional.pad(words, (0, 0, 0, length - words.shape[1]))

    def timesteps(self, t: AV) -> Float[Tensor, "b"]:
        """Timesteps of the 1000-step schedule, where 0 is the cleanest, rounded to hundredths to undo single-precision errors.

        Raises:
            ValueError: Timesteps per frame, or different timesteps for the streams.
        """
        times = [getattr(t, name) for name in self.sizes]
        if times[0].ndim != 1 or any(one is not times[0] and not torch.equal(one, times[0]) for one in times[1:]):
            raise ValueError(
                "MMLDM: both streams share one timestep per sample, [b]; pass a conditioning stream noisy at that timestep, and "
                "its clean latents as `conditioning`"
            )
        return (times[0].double() * NUM_STEPS - 1).round(decimals=2).clamp(min=0).float()

    def check(self, x: AV, *, allow_missing: bool = False) -> None:
        """Raise ValueError if the latents do not have the sizes of the model. `allow_missing` accepts None for a stream."""
        for name, z in zip(AV._fields, x, strict=True):
            if z is None and allow_missing:
                continue
            if name not in self.sizes:
                if z.numel():
                    raise ValueError(
                        f"MMLDM: {name} latents {tuple(z.shape)}; this model generates none: pass a tensor without "
                        "steps, such as [b c 0 f]"
                    )
                continue
            c, rows, columns = self.sizes[name]
            expected = (c, 1, rows, columns) if name == "video" else (c, columns, rows)
            if tuple(z.shape[1:]) != expected:
                raise ValueError(
                    f"MMLDM: {name} latents {tuple(z.shape[1:])}, expected {expected}: one window of the model's length"
                )


# Depth, width and heads of Table 4. Deviation: the paper only gives parameters (131, 384, 1543 million) and multiply-adds (34,
# 101, 407 G), which these values meet. The number of heads, of 64 channels each, changes neither. The released code has 28, 1152,
# 16.
SIZES = {"S": (12, 768, 12), "B": (20, 1024, 16), "L": (36, 1536, 24), "released": (28, 1152, 16)}


def paper(size: str = "S") -> dict[str, Any]:
    """A published size, for latents of 256 x 256 frames and their audio."""
    if size not in SIZES:
        raise ValueError(f"MMLDM: size {size!r}; expected one of {', '.join(SIZES)}")
    depth, width, heads = SIZES[size]
    return {"video": (16, 16, 16), "audio": (16, 8, 8), "depth": depth, "width": width, "heads": heads}


def tiny() -> dict[str, Any]:
    """A size that trains and samples on a CPU in seconds."""
    return {
        "video": (4, 4, 4), "audio": (4, 4, 4), "depth": 2, "width": 32, "heads": 2, "context_tokens": 4, "context_width": 16
    }  # fmt: skip

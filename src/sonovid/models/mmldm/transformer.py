"""MM-LDM's generator: a transformer over [context][EOS_a][audio][EOS_v][video] (Sun et al. 2024, section 3.2, figure 2).

Docs: docs/systems/mmldm.md names the function for each equation and lists where we part from the paper.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sonovid.core.av import AV
from sonovid.core.condition import Condition
from sonovid.core.model import Model, register_to_config
from sonovid.models.base import Output
from sonovid.models.mmldm.layers import Block, Entrance, Head, embed, from_tokens, start, to_tokens
from sonovid.models.uniform.blocks import ScalarEmbedding

Context = Literal["learnt", "class", "text"]
# A time in [0, 1] is entry t * 1000 - 1 of the table of times.
NUM_STEPS = 1000
# Audio stands before video among the tokens.
ORDER = ("audio", "video")


class MMLDM(Model):
    """`depth` blocks of full self-attention over the context and the latents of both streams.

    Args:
        video: (channels, rows, columns) of the video latents, which are one image for a whole window: [b c 1 h w]. None for a
            model of sound alone (MM-LDM-a).
        audio: (channels, mel places, steps) of the audio latents [b c l f]. None for a model of pictures alone (MM-LDM-v).
        width, depth, heads: of the blocks; width a multiple of 4 and of heads.
        context: "learnt" tokens (unconditional), those with the class's embedding added ("class"), or embedded words ("text").
        context_tokens, context_width: of the context before it is projected. num_classes: for context "class".

    A stream that the model does not make is, in the pair, a tensor without a single element, such as audio [b c 0 f]: sampling
    and training carry it along, and its loss is NaN, which counts as not scored.

    Deviation: class contexts are ours; the paper's generator has none, though it shows samples by class.
    """

    _supports_gradient_checkpointing = True

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
        self.entrances = nn.ModuleDict({name: Entrance(size[0], size[1], size[2], width) for name, size in self.sizes.items()})
        self.given_in = nn.ModuleDict({name: nn.Linear(size[0], width) for name, size in self.sizes.items()})
        self.time = ScalarEmbedding(width)
        self.context_in = nn.Linear(context_width, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.exits = nn.ModuleDict({name: Head(width, size[0]) for name, size in self.sizes.items()})
        start(self)
        for linear in self.given_in.values():
            # The paper's zero convolutions: at first a given stream says nothing.
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
    def makes(self) -> AV:
        """Which streams it makes."""
        return AV(*(name in self.sizes for name in AV._fields))

    def forward(
        self,
        x: AV,
        t: AV,
        condition: Condition | None = None,
        previous: AV | None = None,
        *,
        given: AV | None = None,
        dropped: Bool[Tensor, "b"] | None = None,
        context: Float[Tensor, "b k d"] | None = None,
        added: Sequence[Tensor] = (),
    ) -> Output:
        """The predicted noise of both streams, in the dtype they came in.

        x: video [b c 1 h w], audio [b c l f]; both are noisy, a given stream too (section 3.3). t: one time in [0, 1] for each
        sample, [b], the same for both streams. given: clean latents of given streams, in the shapes of x; zeros, or None, are the
        null modality. dropped: True where a sample is shown the null context, zeros. context: what `embed_context` gave, so that
        the steps of one sampling project it once; then condition and dropped are not read. added: for the first blocks, what is
        added to their outputs. previous: not used.

        Raises:
            ValueError: latents of other sizes, times that differ between streams, or a context that is not this model's.
        """
        self.check(x)
        if given is not None:
            self.check(given, partly=True)
        time = embed(self.time, self.entries(t))
        if context is None:
            context = self.embed_context(condition, len(x.video), dropped)
        tokens = torch.cat([context, *self.enter(x, given)], dim=1)
        for index, block in enumerate(self.blocks):
            if self.gradient_checkpointing and torch.is_grad_enabled():
                tokens = self._gradient_checkpointing_func(block, tokens, time)
            else:
                tokens = block(tokens, time)
            if index < len(added):
                tokens = tokens + added[index]
        return Output(self.leave(tokens, time, x))

    def enter(self, x: AV, given: AV | None = None) -> list[Float[Tensor, "b k d"]]:
        """Each stream's tokens, audio first: EOS, then its noisy latents with the given ones added."""
        parts = []
        for name, entrance in self.entrances.items():
            linear: Any = self.given_in[name]
            clean = None if given is None else getattr(given, name)
            told = linear.bias if clean is None else linear(to_tokens(name, clean).to(linear.weight.dtype))
            parts.append(entrance(to_tokens(name, getattr(x, name)).to(linear.weight.dtype), told))
        return parts

    def leave(self, tokens: Float[Tensor, "b k d"], time: Float[Tensor, "b d"], x: AV) -> AV:
        """The streams' predictions from all tokens, in the shapes of x."""
        lengths = [rows * columns for _, rows, columns in self.sizes.values()]
        found, place = {}, tokens.shape[1]
        for name, length in reversed(list(zip(self.sizes, lengths, strict=True))):
            found[name] = from_tokens(name, self.exits[name](tokens[:, place - length : place], time), getattr(x, name))
            place -= length + 1
        return AV(*(found.get(name, getattr(x, name)) for name in AV._fields))

    # --- what it is told -------------------------------------------------------------------------------------------------

    def embed_context(
        self, condition: Condition | None, b: int, dropped: Bool[Tensor, "b"] | None = None
    ) -> Float[Tensor, "b k d"]:
        """The context's tokens at the blocks' width; the same throughout a sampling."""
        return self.context_in(self.context_before(condition, b, dropped))

    def context_before(
        self, condition: Condition | None, b: int, dropped: Bool[Tensor, "b"] | None = None
    ) -> Float[Tensor, "b k e"]:
        """The context before its projection, zeros for the samples that have none.

        Always `context_tokens` places, so that what a sample is told does not depend on its neighbours' words.

        Raises:
            ValueError: a class where the model knows none, one outside its set, or words of another encoder.
        """
        labels = None if condition is None else condition.labels
        if labels is not None and self.config.context != "class":
            raise ValueError(
                f"MMLDM: asked for a class, but this model's context is {self.config.context!r}: leave the label out"
            )
        tokens = self._words(condition, b) if self.config.context == "text" else self.learnt_context.expand(b, -1, -1)
        if self.config.context == "class":
            if labels is None:
                tokens = torch.zeros_like(tokens)
            else:
                count = self.config.num_classes
                if int(labels.max()) >= count or int(labels.min()) < -1:
                    raise ValueError(
                        f"MMLDM: labels {labels.tolist()}; this model knows classes 0 to {count - 1}, and -1 for none"
                    )
                named = tokens + self.classes(labels.clamp(min=0))[:, None]
                tokens = named.masked_fill((labels < 0)[:, None, None], 0.0)
        return tokens if dropped is None else tokens.masked_fill(dropped[:, None, None], 0.0)

    def _words(self, condition: Condition | None, b: int) -> Float[Tensor, "b k e"]:
        """Embedded words, with zeros in the places where none stands."""
        width, places, like = self.config.context_width, self.config.context_tokens, self.context_in.weight
        if condition is None:
            return like.new_zeros(b, places, width)
        words = condition.text
        # A condition without any words may have them in any width.
        if words.shape[-1] != width:
            if condition.text_mask.any():
                raise ValueError(
                    f"MMLDM: words of {words.shape[-1]} channels; this model takes {width}: use its own text encoder"
                )
            return like.new_zeros(b, places, width)
        if words.shape[1] > places:
            raise ValueError(f"MMLDM: {words.shape[1]} words; this model takes {places}: shorten the text")
        words = words.to(like.dtype).masked_fill(~condition.text_mask[..., None], 0.0)
        return nn.functional.pad(words, (0, 0, 0, places - words.shape[1]))

    def entries(self, t: AV) -> Float[Tensor, "b"]:
        """Times as entries of the table, 0 the cleanest; rounded to hundredths, whatever single precision made of them.

        Raises:
            ValueError: times by frame, or other times for one stream than for the other.
        """
        own = [getattr(t, name) for name in self.sizes]
        if own[0].ndim != 1 or any(one is not own[0] and not torch.equal(one, own[0]) for one in own[1:]):
            raise ValueError(
                "MMLDM: both streams share one time for each sample, [b]; a given stream enters noisy at that time, its clean "
                "latents as `given`"
            )
        return (own[0].double() * NUM_STEPS - 1).round(decimals=2).clamp(min=0).float()

    def check(self, x: AV, *, partly: bool = False) -> None:
        """Raises ValueError where latents are not of the model's sizes; `partly` lets streams be None."""
        for name, z in zip(AV._fields, x, strict=True):
            if z is None and partly:
                continue
            if name not in self.sizes:
                if z.numel():
                    raise ValueError(
                        f"MMLDM: {name} latents {tuple(z.shape)}; this model makes none: give a tensor of no steps, as [b c 0 f]"
                    )
                continue
            c, rows, columns = self.sizes[name]
            wanted = (c, 1, rows, columns) if name == "video" else (c, columns, rows)
            if tuple(z.shape[1:]) != wanted:
                raise ValueError(
                    f"MMLDM: {name} latents {tuple(z.shape[1:])}, expected {wanted}: one window of the model's own length"
                )


# Layers, width and heads of Table 4. Deviation: the paper gives parameters and multiply-adds alone (131, 384, 1543 million; 34,
# 101, 407 G), which these meet; the number of heads, of 64 channels each, changes neither. The released code is at 28, 1152, 16.
SIZES = {"S": (12, 768, 12), "B": (20, 1024, 16), "L": (36, 1536, 24), "released": (28, 1152, 16)}


def paper(size: str = "S") -> dict[str, Any]:
    """A published size, on latents of 256 x 256 pictures and their sound."""
    if size not in SIZES:
        raise ValueError(f"MMLDM: size {size!r}; expected one of {', '.join(SIZES)}")
    depth, width, heads = SIZES[size]
    return {"video": (16, 16, 16), "audio": (16, 8, 8), "depth": depth, "width": width, "heads": heads}


def tiny() -> dict[str, Any]:
    """Small enough to train and sample on a CPU in seconds."""
    return {
        "video": (4, 4, 4), "audio": (4, 4, 4), "depth": 2, "width": 32, "heads": 2, "context_tokens": 4, "context_width": 16
    }  # fmt: skip

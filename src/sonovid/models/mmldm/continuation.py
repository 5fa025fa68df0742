"""MM-LDM that goes on from the window before: a second transformer reads both windows and speaks into the first's blocks."""

import math
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sonovid.core.av import AV
from sonovid.core.condition import Condition
from sonovid.core.model import Model, register_to_config
from sonovid.models.base import Output
from sonovid.models.mmldm.layers import Block, Entrance, embed, start, to_tokens
from sonovid.models.mmldm.transformer import MMLDM
from sonovid.models.uniform.blocks import ScalarEmbedding


class Before(nn.Module):
    """The second transformer: over the same tokens, each the window before beside the noisy one; its blocks' outputs go out.

    They pass linear layers that begin at zero, so that a trained generator goes on as it was.
    """

    def __init__(self, sizes: dict[str, tuple[int, ...]], width: int, heads: int, depth: int, context_width: int):
        super().__init__()
        self.entrances = nn.ModuleDict(
            {name: Entrance(2 * channels, rows, columns, width) for name, (channels, rows, columns) in sizes.items()}
        )
        self.time = ScalarEmbedding(width)
        self.context_in = nn.Linear(context_width, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.outs = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(depth))
        start(self)
        for linear in self.outs:
            nn.init.zeros_(linear.weight)  # type: ignore[arg-type]
        for linear in (self.time.linear_1, self.time.linear_2):
            nn.init.normal_(linear.weight, std=0.02)

    def forward(self, before: AV, x: AV, entries: Tensor, context: Tensor) -> list[Tensor]:
        """What is added to the outputs of the generator's first blocks."""
        time, weights = embed(self.time, entries), self.context_in.weight
        parts = [context]
        for name, entrance in self.entrances.items():
            both = torch.cat([to_tokens(name, getattr(before, name)), to_tokens(name, getattr(x, name))], dim=-1)
            parts.append(entrance(both.to(weights.dtype)))
        tokens, added = torch.cat(parts, dim=1), []
        for block, out in zip(self.blocks, self.outs, strict=True):
            tokens = block(tokens, time)
            added.append(out(tokens))
        return added


class Continuation(Model):
    """A generator of the window that follows a given one (section 4.4, long video and continuations).

    generator: settings of the `MMLDM`. depth: of the second transformer, at most the generator's; the released one has half as
    many blocks. num_classes: the generator's. The latents of the window before enter as further context tokens too, video's
    before audio's.
    """

    @register_to_config
    def __init__(self, generator: dict[str, Any], depth: int, num_classes: int = 0):
        super().__init__()
        self.network = MMLDM(**{key: value for key, value in generator.items() if not key.startswith("_")})
        own = self.network.config
        if num_classes != own.num_classes:
            raise ValueError(f"Continuation: num_classes={num_classes} of a generator of {own.num_classes}; set them alike")
        if not 0 < depth <= own.depth:
            raise ValueError(f"Continuation: depth {depth}; expected 1 to the generator's {own.depth}")
        self.before = Before(self.network.sizes, own.width, own.heads, depth, own.context_width)
        self.before_in = nn.ModuleDict()
        for name, (channels, *_) in reversed(self.network.sizes.items()):
            self.before_in[name] = nn.Linear(channels, own.context_width)

    @classmethod
    def from_generator(cls, generator: MMLDM, depth: int | None = None) -> "Continuation":
        """One that begins with this generator's weights, copied; depth: half of its blocks unless said otherwise."""
        settings = {key: value for key, value in dict(generator.config).items() if not key.startswith("_")}
        half = (generator.config.depth + 1) // 2
        model = cls(settings, half if depth is None else depth, num_classes=generator.config.num_classes)
        model.network.load_state_dict(generator.state_dict())
        return model

    def forward(
        self,
        x: AV,
        t: AV,
        condition: Condition | None = None,
        previous: AV | None = None,
        *,
        given: AV | None = None,
        dropped: Bool[Tensor, "b"] | None = None,
        before: AV | None = None,
        context: Float[Tensor, "b k d2"] | None = None,
    ) -> Output:
        """The predicted noise, see `MMLDM.forward`.

        before: clean latents of the window before, in the shapes of x; a stream of zeros, or None, has none, as at the first
        window. context: what `embed_context` gave for the same `before`.

        Raises:
            ValueError: as `MMLDM.forward`.
        """
        self.network.check(x)
        before = self._whole(before, x)
        if context is None:
            context = self.embed_context(condition, len(x.video), dropped, before)
        own, second = context.chunk(2, dim=-1)
        added = self.before(before, x, self.network.entries(t), second)
        return self.network(x, t, given=given, context=own, added=added)

    def embed_context(
        self, condition: Condition | None, b: int, dropped: Bool[Tensor, "b"] | None = None, before: AV | None = None
    ) -> Float[Tensor, "b k d2"]:
        """The context's tokens for the generator and, beside them, for the second transformer; the same throughout a sampling."""
        tokens = [self.network.context_before(condition, b, dropped)]
        for name, linear in self.before_in.items():
            gone = None if before is None else getattr(before, name)
            if gone is None:
                gone = tokens[0].new_zeros(b, math.prod(self.network.sizes[name][1:]), self.network.sizes[name][0])
            else:
                gone = to_tokens(name, gone).to(tokens[0].dtype)
            tokens.append(linear(gone))
        raw = torch.cat(tokens, dim=1)
        return torch.cat([self.network.context_in(raw), self.before.context_in(raw)], dim=-1)

    def _whole(self, before: AV | None, x: AV) -> AV:
        before = AV(None, None) if before is None else before
        self.network.check(before, partly=True)
        return before.map(lambda z, xi: torch.zeros_like(xi) if z is None else z.to(xi.dtype), x)

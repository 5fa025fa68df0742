"""MM-LDM continuation: a second transformer reads the previous and the current window and adds to the generator's blocks."""

import math
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sonovid.core.av import AV
from sonovid.core.condition import Condition
from sonovid.core.model import Model, register_to_config
from sonovid.models.base import Output
from sonovid.models.mmldm.layers import Block, StreamEmbedding, embed_time, init_weights, to_tokens
from sonovid.models.mmldm.transformer import MMLDM
from sonovid.models.uniform.blocks import ScalarEmbedding


class WindowEncoder(nn.Module):
    """The second transformer. It runs on the same tokens, with the previous window concatenated to the noisy one.

    The outputs of its blocks pass through zero-initialised linear layers, so that a trained generator is unchanged at first.

    Args:
        sizes: (channels, rows, columns) of each stream.
        width: Channels of the blocks.
        heads: Attention heads.
        depth: Number of blocks.
        context_width: Channels of the context tokens.
    """

    def __init__(self, sizes: dict[str, tuple[int, ...]], width: int, heads: int, depth: int, context_width: int):
        super().__init__()
        self.entrances = nn.ModuleDict(
            {name: StreamEmbedding(2 * channels, rows, columns, width) for name, (channels, rows, columns) in sizes.items()}
        )
        self.time = ScalarEmbedding(width)
        self.context_in = nn.Linear(context_width, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.outs = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(depth))
        init_weights(self)
        for linear in self.outs:
            nn.init.zeros_(linear.weight)  # type: ignore[arg-type]
        for linear in (self.time.linear_1, self.time.linear_2):
            nn.init.normal_(linear.weight, std=0.02)

    def forward(self, previous_window: AV, x: AV, timesteps: Tensor, context: Tensor) -> list[Tensor]:
        """Residuals for the outputs of the generator's first blocks."""
        time, weights = embed_time(self.time, timesteps), self.context_in.weight
        parts = [context]
        for name, entrance in self.entrances.items():
            both = torch.cat([to_tokens(name, getattr(previous_window, name)), to_tokens(name, getattr(x, name))], dim=-1)
            parts.append(entrance(both.to(weights.dtype)))
        tokens, residuals = torch.cat(parts, dim=1), []
        for block, out in zip(self.blocks, self.outs, strict=True):
            tokens = block(tokens, time)
            residuals.append(out(tokens))
        return residuals


class Continuation(Model):
    """A generator of the window that follows a previous one (section 4.4, long video and continuation).

    The latents of the previous window also enter as additional context tokens, video before audio.

    Args:
        generator: Settings of the `MMLDM`.
        depth: Blocks of the second transformer, at most those of the generator. The released one has half as many.
        num_classes: Number of classes of the generator.

    Raises:
        ValueError: `depth` or `num_classes` does not fit the generator.
    """

    @register_to_config
    def __init__(self, generator: dict[str, Any], depth: int, num_classes: int = 0):
        super().__init__()
        self.network = MMLDM(**{key: value for key, value in generator.items() if not key.startswith("_")})
        own = self.network.config
        if num_classes != own.num_classes:
            raise ValueError(
                f"Continuation: num_classes={num_classes} of a generator of {own.num_classes}; set both to the same value"
            )
        if not 0 < depth <= own.depth:
            raise ValueError(f"Continuation: depth {depth}; expected 1 to the generator's {own.depth}")
        self.before = WindowEncoder(self.network.sizes, own.width, own.heads, depth, own.context_width)
        self.before_in = nn.ModuleDict()
        for name, (channels, *_) in reversed(self.network.sizes.items()):
            self.before_in[name] = nn.Linear(channels, own.context_width)

    @classmethod
    def from_generator(cls, generator: MMLDM, depth: int | None = None) -> "Continuation":
        """Initialise from a trained generator, whose weights are copied.

        Args:
            generator: The generator.
            depth: Blocks of the second transformer. None: half of the generator's.
        """
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
        conditioning: AV | None = None,
        drop_context: Bool[Tensor, "b"] | None = None,
        previous_window: AV | None = None,
        context: Float[Tensor, "b k d2"] | None = None,
    ) -> Output:
        """Predict the noise, see `MMLDM.forward`.

        Args:
            x: See `MMLDM.forward`.
            t: See `MMLDM.forward`.
            condition: See `MMLDM.forward`.
            previous: Not used.
            conditioning: See `MMLDM.forward`.
            drop_context: See `MMLDM.forward`.
            previous_window: Clean latents of the previous window, in the shapes of `x`. A stream of zeros or None has no previous
                window, as for the first window.
            context: Output of `embed_context` for the same `previous_window`.

        Raises:
            ValueError: As `MMLDM.forward`.
        """
        self.network.check(x)
        previous_window = self._fill_missing(previous_window, x)
        if context is None:
            context = self.embed_context(condition, len(x.video), drop_context, previous_window)
        own, second = context.chunk(2, dim=-1)
        residuals = self.before(previous_window, x, self.network.timesteps(t), second)
        return self.network(x, t, conditioning=conditioning, context=own, residuals=residuals)

    def embed_context(
        self,
        condition: Condition | None,
        b: int,
        drop_context: Bool[Tensor, "b"] | None = None,
        previous_window: AV | None = None,
    ) -> Float[Tensor, "b k d2"]:
        """Context tokens for the generator, concatenated with those for the second transformer; constant over sampling steps."""
        tokens = [self.network.raw_context(condition, b, drop_context)]
        for name, linear in self.before_in.items():
            latents = None if previous_window is None else getattr(previous_window, name)
            if latents is None:
                latents = tokens[0].new_zeros(b, math.prod(self.network.sizes[name][1:]), self.network.sizes[name][0])
            else:
                latents = to_tokens(name, latents).to(tokens[0].dtype)
            tokens.append(linear(latents))
        raw = torch.cat(tokens, dim=1)
        return torch.cat([self.network.context_in(raw), self.before.context_in(raw)], dim=-1)

    def _fill_missing(self, previous_window: AV | None, x: AV) -> AV:
        """The previous window with zeros for missing streams."""
        previous_window = AV(None, None) if previous_window is None else previous_window
        self.network.check(previous_window, allow_missing=True)
        return previous_window.map(lambda z, xi: torch.zeros_like(xi) if z is None else z.to(xi.dtype), x)

"""Condition: the inputs of a denoiser besides the noisy pair: text, class labels, and which streams are generated."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sonovid.core.av import AV, Task


@dataclass(frozen=True)
class Condition:
    """A batch of conditions.

    Args:
        text: text embeddings, [b k d].
        text_mask: True for tokens, False for padding, [b k]. A sample without any token has no text, and the denoiser uses its
            null embedding.
        generated: for each stream, bool [b]: True where the stream is generated, False where it is a conditioning stream.
        pooled: pooled text embedding, [b e], where the text encoder has one.
        labels: class indices, [b], -1 for no class; None for a denoiser without classes.
    """

    text: Float[Tensor, "b k d"]
    text_mask: Bool[Tensor, "b k"]
    generated: AV
    pooled: Float[Tensor, "b e"] | None = None
    labels: Int[Tensor, "b"] | None = None

    @classmethod
    def empty(cls, generated: AV) -> "Condition":
        """A condition without text, for a denoiser without text conditioning. Its text is one padding position."""
        mask = torch.zeros_like(generated.video[:, None])
        return cls(torch.zeros(*mask.shape, 1, device=mask.device), mask, generated)

    def concat(self, other: "Condition") -> "Condition":
        """Concatenate along the batch axis; the shorter text is padded."""
        longest = max(self.text.shape[1], other.text.shape[1])
        texts, masks = [], []
        for one in (self, other):
            missing = longest - one.text.shape[1]
            texts.append(torch.nn.functional.pad(one.text, (0, 0, 0, missing)))
            masks.append(torch.nn.functional.pad(one.text_mask, (0, missing)))
        pooled = None if self.pooled is None or other.pooled is None else torch.cat([self.pooled, other.pooled])
        labels = None if self.labels is None and other.labels is None else torch.cat([self._labels(), other._labels()])
        generated = self.generated.map(lambda g, h: torch.cat([g, h]), other.generated)
        return Condition(torch.cat(texts), torch.cat(masks), generated, pooled, labels)

    def _labels(self) -> Int[Tensor, "b"]:
        if self.labels is not None:
            return self.labels
        return torch.full_like(self.text_mask[:, 0], -1, dtype=torch.long)

    def select(self, mask: Bool[Tensor, "b"]) -> "Condition":
        """The samples where `mask` is True."""
        pooled, labels = (None if value is None else value[mask] for value in (self.pooled, self.labels))
        return Condition(self.text[mask], self.text_mask[mask], self.generated.map(lambda g: g[mask]), pooled, labels)

    def without_text(self, dropped: Bool[Tensor, "b"] | None = None) -> "Condition":
        """Remove the text of the samples where `dropped` is True, or of all samples."""
        if dropped is None:
            dropped = torch.ones(len(self.text_mask), dtype=torch.bool, device=self.text_mask.device)
        return replace(self, text_mask=self.text_mask & ~dropped[:, None])

    def for_task(self, task: Task) -> "Condition":
        """The same conditions with the generated streams of `task` for all samples."""
        b, device = len(self.text_mask), self.text_mask.device
        return replace(self, generated=task.value.map(lambda g: torch.full((b,), g, dtype=torch.bool, device=device)))

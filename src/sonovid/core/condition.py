"""What a denoiser is told beside the noisy pair: text, and which streams are generated."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sonovid.core.av import AV, Task


@dataclass(frozen=True)
class Condition:
    """One batch of conditions.

    text: embedded words, [b k d]. text_mask: True where a word stands, [b k]; a sample without a single word has no text, and a
    denoiser uses its null there. generated: for each stream, True [b] where it is generated and not given. pooled: one vector for
    all words of a sample, [b e], where the text encoder gives one. labels: the number of each sample's class, -1 for none,
    where the denoiser knows classes.
    """

    text: Float[Tensor, "b k d"]
    text_mask: Bool[Tensor, "b k"]
    generated: AV
    pooled: Float[Tensor, "b e"] | None = None
    labels: Int[Tensor, "b"] | None = None

    @classmethod
    def empty(cls, generated: AV) -> "Condition":
        """Conditions for a network that takes no words: one place in which none stands."""
        mask = torch.zeros_like(generated.video[:, None])
        return cls(torch.zeros(*mask.shape, 1, device=mask.device), mask, generated)

    def concat(self, other: "Condition") -> "Condition":
        """Both as one batch, this one first; the shorter text is filled up with places in which no word stands."""
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

    def select(self, chosen: Bool[Tensor, "b"]) -> "Condition":
        """The same for the chosen samples alone."""
        pooled, labels = (None if value is None else value[chosen] for value in (self.pooled, self.labels))
        return Condition(self.text[chosen], self.text_mask[chosen], self.generated.map(lambda g: g[chosen]), pooled, labels)

    def without_text(self, dropped: Bool[Tensor, "b"] | None = None) -> "Condition":
        """The same with the text of the `dropped` samples, or of all, taken away."""
        if dropped is None:
            dropped = torch.ones(len(self.text_mask), dtype=torch.bool, device=self.text_mask.device)
        return replace(self, text_mask=self.text_mask & ~dropped[:, None])

    def for_task(self, task: Task) -> "Condition":
        """The same for one task throughout the batch."""
        b, device = len(self.text_mask), self.text_mask.device
        return replace(self, generated=task.value.map(lambda g: torch.full((b,), g, dtype=torch.bool, device=device)))

"""Extractors whose weights are located but not yet loaded."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sonovid.metrics.base import Arrays, Extractor

ExtractorClass = type[Extractor]


@dataclass
class LazyExtractor:
    """An extractor that loads its weights on first use.

    Attributes:
        extractor: the extractor's class.
        found: its weight files (`extractors.weights.LocatedWeights`).
        device: where it runs.
    """

    extractor: ExtractorClass
    found: tuple[Any, ...] = ()
    device: str = "cpu"
    _loaded: Extractor | None = field(default=None, repr=False)

    @property
    def record(self) -> dict[str, Any]:
        """Everything that the extractor's output depends on, besides the file."""
        extractor = self.extractor
        return {
            "name": extractor.name,
            "version": extractor.version,
            "reading": extractor.input_spec.to_record(),
            "settings": dict(extractor.settings),
            "weights": {one.file.name: one.sha256 for one in self.found},
        }

    def load(self) -> None:
        """Load the weights, once.

        Raises:
            UnavailableError: a library that the extractor needs is not installed.
            ValueError: the weights belong to another network.
        """
        if self._loaded is None:
            instance = self.extractor()
            instance.load([one.path for one in self.found], self.device)
            self._loaded = instance

    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        """Compute the features of some samples."""
        self.load()
        assert self._loaded is not None
        found = self._loaded.embed(prepared)
        assert len(found) == len(prepared), f"{self.extractor.name}: {len(found)} features of {len(prepared)} samples"
        return found


def resolve_extractor(extractor: ExtractorClass, folder: "str | os.PathLike | None" = None, device: str = "cpu") -> LazyExtractor:
    """Find and verify the weights of an extractor.

    An extractor without weights is loaded at once, so that a missing library is reported here.

    Args:
        extractor: its class.
        folder: the folder of weight files; None: `$SONOVID_WEIGHTS` and the cache of the Hugging Face Hub.
        device: where it will run.

    Raises:
        UnavailableError: weights or a library are missing.
        ValueError: a weight file is not the published one.
    """
    if not extractor.weights:
        one = LazyExtractor(extractor, (), device)
        one.load()
        return one
    # Imported here because it imports torch, which the processes that read files do not need.
    from sonovid.metrics.extractors import weights

    return LazyExtractor(extractor, weights.find_extractor_weights(extractor, folder), device)

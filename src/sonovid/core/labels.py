"""ClassLabels: the class names of a model, in the order of their indices."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import torch
from jaxtyping import Int
from torch import Tensor

from sonovid.core import renamed

# The index of a sample without a class.
NO_LABEL = -1


@dataclass(frozen=True)
class ClassLabels:
    """Class names in the order of their indices. They are fixed in training and saved in the model's settings.

    Args:
        names: the names.

    Raises:
        ValueError: an empty or repeated name.
    """

    names: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        if len(set(self.names)) != len(self.names) or not all(self.names):
            raise ValueError(f"classes {', '.join(map(repr, self.names))}: expected distinct names, none of them empty")

    @classmethod
    def from_labels(cls, labels: Iterable[str]) -> "ClassLabels":
        """The classes that occur among `labels`, in alphabetical order. An empty label is no class."""
        return cls(tuple(sorted(set(labels) - {""})))

    def __len__(self) -> int:
        return len(self.names)

    def index(self, label: str) -> int:
        """The index of a class; -1 for the empty label.

        Raises:
            ValueError: an unknown label.
        """
        if label == "":
            return NO_LABEL
        if label in self.names:
            return self.names.index(label)
        if not self.names:
            raise ValueError(f"label {label!r}: this model has no classes: leave the label out")
        near = get_close_matches(label, self.names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        shown = ", ".join(self.names[:12]) + (f" and {len(self.names) - 12} more" if len(self.names) > 12 else "")
        raise ValueError(f"label {label!r}: not one of this model's classes, which are {shown}{hint}")

    def indices(self, labels: Iterable[str]) -> Int[Tensor, "b"]:
        """The indices of several labels, as `Condition.labels` holds them.

        Raises:
            ValueError: an unknown label.
        """
        labels = list(labels)
        known = {label: self.index(label) for label in set(labels)}
        return torch.tensor([known[label] for label in labels], dtype=torch.long)


__getattr__ = renamed.attributes(__name__, {"Classes": "ClassLabels", "NONE": "NO_LABEL"})

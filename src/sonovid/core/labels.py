"""Classes: the names whose numbers a model's labels are, fixed when it is trained and saved beside it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import torch
from jaxtyping import Int
from torch import Tensor

# A sample that has no class.
NO_LABEL = -1


@dataclass(frozen=True)
class ClassLabels:
    """Names in the order of their numbers; `list(classes.names)` is what a model's settings keep of it.

    Raises:
        ValueError: an empty name, or one that stands there twice.
    """

    names: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        if len(set(self.names)) != len(self.names) or not all(self.names):
            raise ValueError(f"classes {', '.join(map(repr, self.names))}: expected names that differ, none of them empty")

    @classmethod
    def from_labels(cls, labels: Iterable[str]) -> "Classes":
        """The classes that occur, in the order of the alphabet; an empty label is none."""
        return cls(tuple(sorted(set(labels) - {""})))

    def __len__(self) -> int:
        return len(self.names)

    def index(self, label: str) -> int:
        """The number of a class, and -1 for the empty label.

        Raises:
            ValueError: a label outside the set, or any at all where the set is empty.
        """
        if label == "":
            return NO_LABEL
        if label in self.names:
            return self.names.index(label)
        if not self.names:
            raise ValueError(f"label {label!r}: this model knows no classes: leave the label out")
        near = get_close_matches(label, self.names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        shown = ", ".join(self.names[:12]) + (f" and {len(self.names) - 12} more" if len(self.names) > 12 else "")
        raise ValueError(f"label {label!r}: not one of this model's classes, which are {shown}{hint}")

    def indices(self, labels: Iterable[str]) -> Int[Tensor, "b"]:
        """The numbers of several labels, as `Condition.labels` holds them.

        Raises:
            ValueError: a label outside the set.
        """
        labels = list(labels)
        known = {label: self.index(label) for label in set(labels)}
        return torch.tensor([known[label] for label in labels], dtype=torch.long)

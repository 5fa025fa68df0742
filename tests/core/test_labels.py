"""Class labels and their indices."""

import pytest

from sonovid.core.labels import ClassLabels


def test_class_indices_are_in_alphabetical_order():
    first, second = ClassLabels.from_labels(["rain", "", "fire", "rain"]), ClassLabels.from_labels(["fire", "rain"])
    assert first == second == ClassLabels(["fire", "rain"])
    assert first.indices(["rain", "", "fire", "rain"]).tolist() == [1, -1, 0, 1]
    assert len(ClassLabels.from_labels(["", ""])) == 0


@pytest.mark.parametrize(
    ("names", "label", "said"),
    [
        (("dog", "rain"), "dogs", "label 'dogs': not one of this model's classes, which are dog, rain; did you mean 'dog'"),
        (tuple(f"kind {i:02}" for i in range(20)), "x", "kind 11 and 8 more$"),
        ((), "dog", "this model has no classes: leave the label out"),
    ],
)
def test_unknown_labels_are_refused(names, label, said):
    with pytest.raises(ValueError, match=said):
        ClassLabels(names).indices(["", label])


@pytest.mark.parametrize("names", [("a", "a"), ("a", "")])
def test_class_names_are_distinct_and_not_empty(names):
    with pytest.raises(ValueError, match="distinct names"):
        ClassLabels(names)

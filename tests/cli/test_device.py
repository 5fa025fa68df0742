"""Resolving --device."""

import pytest
import torch

from sonovid.cli.device import resolve_device


def test_a_device_by_name_and_the_best_that_is_here():
    assert resolve_device("cpu") == "cpu"
    assert resolve_device(None) == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["cuda:99", "toaster", "mps:7"])
def test_what_is_not_here_is_one_line(name):
    with pytest.raises(ValueError, match=rf"^--device {name}: not usable here \(.+\)$"):
        resolve_device(name)

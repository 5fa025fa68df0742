"""A trained autoencoder, which the tests of MM-LDM's autoencoder and generator share."""

import pytest

from sonovid import recipes


@pytest.fixture(scope="session")
def autoencoder(tmp_path_factory):
    """The folder of a training of the autoencoder of two steps."""
    out = tmp_path_factory.mktemp("autoencoder")
    recipes.run("mmldm.tiny.autoencoder", {"out": str(out), "steps": "2"})
    return out

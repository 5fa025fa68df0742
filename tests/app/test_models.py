"""The models of a server: names, loading once, errors at the start."""

import pytest

from sonovid.app.errors import RequestError
from sonovid.app.models import MAX_LOADED, Models, name_models


def test_names_say_no_places_and_are_all_different(tiny_folder):
    assert name_models([str(tiny_folder), "packaged", f"{tiny_folder}/", "owner/name"]) == {
        "tiny": str(tiny_folder),
        "packaged": "packaged",
        "tiny-2": f"{tiny_folder}/",
        "owner/name": "owner/name",
    }


def test_models_are_loaded_once_and_described(tiny_folder):
    models = Models([str(tiny_folder)], ["cpu"])
    card = models.default
    assert (card.id, card.size, card.accepts_prompt, card.can_extend, card.steps) == ("tiny", "16x16", True, True, 3)
    assert models.card("tiny") == models.card(None) == card
    assert models.pipeline("tiny", "cpu") is models.pipeline("tiny", "cpu")
    with pytest.raises(RequestError, match="expected one of tiny"):
        models.card("other")


def test_only_some_stay_loaded(tiny_folder):
    sources = [str(tiny_folder)] * (MAX_LOADED + 1)
    models = Models(sources, ["cpu"])
    first = models.pipeline("tiny", "cpu")
    for name in models.cards:
        models.pipeline(name, "cpu")
    assert len(models._loaded) == MAX_LOADED
    assert models.pipeline("tiny", "cpu") is not first


def test_a_wrong_model_is_an_error_at_the_start(tmp_path):
    with pytest.raises(ValueError, match="model"):
        Models([str(tmp_path)], ["cpu"])

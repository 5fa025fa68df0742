"""Latent data: caption embeddings, class labels and batches."""

import pytest
import torch

from sonovid.codecs.separate import SeparateCodecs
from sonovid.codecs.text import HashedText
from sonovid.core.av import AV
from sonovid.core.labels import ClassLabels
from sonovid.data import clips
from sonovid.data.latents import InMemoryLatents
from sonovid.models.mmldm import MMLDM
from sonovid.recipes import latent_data


def test_captions_are_embedded_once():
    embedded = []

    def encoder(prompts):
        embedded.extend(prompts)
        k = max(len(prompt.split()) for prompt in prompts)
        text = torch.zeros(len(prompts), k, 8)
        mask = torch.zeros(len(prompts), k, dtype=torch.bool)
        for i, prompt in enumerate(prompts):
            text[i, : len(prompt.split())] = float(len(prompt))
            mask[i, : len(prompt.split())] = True
        return text, mask

    captions = latent_data.CaptionEmbeddings(encoder, ["a b", "c", "a b", "d e f"])
    seen = len(embedded)
    text, mask, pooled = captions(["d e f", "c"])
    assert pooled is None
    assert len(embedded) == seen
    assert text.shape == (2, 3, 8)
    assert mask.sum(1).tolist() == [3, 1]
    assert text[1, 0, 0] == 1.0


@pytest.mark.parametrize(("captions", "said"), [(("", ""), "none of 2"), (("a hit", ""), "only 1 of 2"), (("a", "b"), "")])
def test_missing_captions_are_reported(caplog, captions, said):
    cache = cached("", "")
    for row, caption in zip(cache.rows, captions, strict=True):
        row["caption"] = caption
    latent_data.make_batches(cache, SeparateCodecs(IdentityWhitening(), IdentityWhitening()), HashedText(8, 4))
    assert (f"{said} clips have a caption" in caplog.text) if said else not caplog.text


class IdentityWhitening:
    """A codec that does not whiten its latents."""

    sample_rate = 16000

    def whiten(self, raw):
        return raw


def cached(*labels):
    rows = [{"name": str(i), "start": 0.0, "caption": "", "label": label, "events": []} for i, label in enumerate(labels)]
    video = torch.arange(float(len(rows))).reshape(-1, 1, 1, 1, 1)
    return InMemoryLatents(rows, AV(video, torch.zeros(len(rows), 1, 1, 1)))


def test_labels_become_class_indices():
    training, held_out = cached("rain", "", "fire"), cached("dog")
    classes = latent_data.find_classes(training, held_out)
    assert classes == ClassLabels(("dog", "fire", "rain"))
    data = latent_data.LatentData(
        training, held_out, [], SeparateCodecs(IdentityWhitening(), IdentityWhitening()), clips.load_clip, classes=classes
    )
    batch = data.batches(training)([2, 0, 1])
    assert batch["x0"].video.flatten().tolist() == [2.0, 0.0, 1.0]
    assert batch["condition"].labels.tolist() == [1, 2, -1]
    assert data.batches(held_out)([0])["condition"].labels.tolist() == [0]
    assert latent_data.make_batches(training, data.codec)([0])["condition"].labels is None


def test_missing_labels_are_reported_and_unknown_ones_rejected(caplog):
    assert latent_data.find_classes(cached("", ""), None, names=("dog",)) is None
    assert "none of 2 clips has a label" in caplog.text
    assert latent_data.find_classes(cached("dog", ""), names=("cat", "dog")) == ClassLabels(("cat", "dog"))
    assert "1 of 2 clips have no label" in caplog.text
    with pytest.raises(ValueError, match="label 'rain': not one of this model's classes, which are cat, dog"):
        latent_data.find_classes(cached("dog", "rain"), names=("cat", "dog"))
    with pytest.raises(ValueError, match="label 'rain'"):
        latent_data.make_batches(
            cached("rain"), SeparateCodecs(IdentityWhitening(), IdentityWhitening()), classes=ClassLabels(("dog",))
        )


def test_a_network_reads_the_labels_of_a_batch():
    torch.manual_seed(0)
    model = MMLDM((1, 1, 1), (1, 1, 1), width=8, depth=1, heads=2, context="class", context_width=4, num_classes=2)
    batch = latent_data.make_batches(
        cached("b", "a", ""), SeparateCodecs(IdentityWhitening(), IdentityWhitening()), classes=ClassLabels(("a", "b"))
    )([0, 1, 2])
    tokens = model.raw_context(batch["condition"], 3)
    torch.testing.assert_close(tokens[0] - tokens[1], (model.classes.weight[1] - model.classes.weight[0]).expand(77, -1))
    assert not tokens[2].any()

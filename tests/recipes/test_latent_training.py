"""What trainings on latents share."""

import pytest
import torch

from sonovid.codecs.separate import SeparateCodecs
from sonovid.core.av import AV
from sonovid.core.labels import ClassLabels
from sonovid.data import clips
from sonovid.data.latents import InMemoryLatents
from sonovid.models.mmldm import MMLDM
from sonovid.recipes import latent_training


def test_captions_are_embedded_once_and_alike():
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

    captions = latent_training.Captions(encoder, ["a b", "c", "a b", "d e f"])
    seen = len(embedded)
    text, mask, pooled = captions(["d e f", "c"])
    assert pooled is None
    assert len(embedded) == seen
    assert text.shape == (2, 3, 8)
    assert mask.sum(1).tolist() == [3, 1]
    assert text[1, 0, 0] == 1.0


class Plain:
    """A codec whose final latents are its raw ones."""

    sample_rate = 16000

    def whiten(self, raw):
        return raw


def cached(*labels):
    rows = [{"name": str(i), "start": 0.0, "caption": "", "label": label, "events": []} for i, label in enumerate(labels)]
    video = torch.arange(float(len(rows))).reshape(-1, 1, 1, 1, 1)
    return InMemoryLatents(rows, AV(video, torch.zeros(len(rows), 1, 1, 1)))


def test_labels_of_the_rows_become_numbers_of_the_training_s_classes():
    training, held_out = cached("rain", "", "fire"), cached("dog")
    classes = latent_training.classes_of(training, held_out)
    assert classes == ClassLabels(("dog", "fire", "rain"))
    fed = latent_training.Fed(training, held_out, [], SeparateCodecs(Plain(), Plain()), clips.load_clip, classes=classes)
    batch = fed.batches(training)([2, 0, 1])
    assert batch["x0"].video.flatten().tolist() == [2.0, 0.0, 1.0]
    assert batch["condition"].labels.tolist() == [1, 2, -1]
    assert fed.batches(held_out)([0])["condition"].labels.tolist() == [0]
    assert latent_training.batches(training, fed.codec)([0])["condition"].labels is None


def test_clips_without_labels_are_noticed_and_foreign_labels_refused(caplog):
    assert latent_training.classes_of(cached("", ""), None, names=("dog",)) is None
    assert "none of 2 clips carries a label" in caplog.text
    assert latent_training.classes_of(cached("dog", ""), names=("cat", "dog")) == ClassLabels(("cat", "dog"))
    assert "1 of 2 clips carry no label" in caplog.text
    with pytest.raises(ValueError, match="label 'rain': not one of this model's classes, which are cat, dog"):
        latent_training.classes_of(cached("dog", "rain"), names=("cat", "dog"))
    with pytest.raises(ValueError, match="label 'rain'"):
        latent_training.batches(cached("rain"), SeparateCodecs(Plain(), Plain()), classes=ClassLabels(("dog",)))


def test_a_network_learns_from_the_classes_of_a_batch():
    torch.manual_seed(0)
    model = MMLDM((1, 1, 1), (1, 1, 1), width=8, depth=1, heads=2, context="class", context_width=4, num_classes=2)
    batch = latent_training.batches(cached("b", "a", ""), SeparateCodecs(Plain(), Plain()), classes=ClassLabels(("a", "b")))(
        [0, 1, 2]
    )
    tokens = model.raw_context(batch["condition"], 3)
    torch.testing.assert_close(tokens[0] - tokens[1], (model.classes.weight[1] - model.classes.weight[0]).expand(77, -1))
    assert not tokens[2].any()

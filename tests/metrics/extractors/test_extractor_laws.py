"""What holds for every extractor with published weights: the same features whatever the batch, the order and the repetitions;
its parts told in plain values; weights of another network refused.

Networks are those of the metrics, narrower, with random weights that lie in a temporary folder as their publishers save them.
"""

import json
from fractions import Fraction
from functools import partial
from typing import ClassVar

import numpy as np
import pytest
import torch
from peers import built

from sonovid.core.clip import Clip
from sonovid.metrics.base import Sample
from sonovid.metrics.extractors import audioclip, c3d, cnn14, i3d, vggish
from sonovid.metrics.extractors.weights import find_extractor_weights


class SmallVGGish(vggish.VGGishFeatures):
    widths: ClassVar = {"width": 2, "hidden": 8, "features": 5}


class SmallVGGishAudioLDM(vggish.VGGishAudioLDM):
    widths: ClassVar = {"width": 2, "hidden": 8, "features": 5}


class SmallPanns(cnn14.PannsFeatures):
    widths: ClassVar = {"width": 2, "classes": 7}


class SmallI3D(i3d.I3DLogits):
    widths: ClassVar = {"classes": 6, "narrow": 16}


class SmallC3D(c3d.C3DLogits):
    widths: ClassVar = {"width": 1, "hidden": 8, "classes": 4}


class SmallAudioClip(audioclip.AudioClipFeatures):
    widths: ClassVar = {"width": 2, "groups": 1, "features": 6}


SMALL = {
    SmallVGGish: vggish.VGGish,
    SmallVGGishAudioLDM: vggish.VGGish,
    SmallPanns: cnn14.Cnn14,
    SmallI3D: i3d.I3D,
    SmallC3D: c3d.C3D,
    SmallAudioClip: audioclip.AudioHead,
}
PUBLISHED = [*(kind.__mro__[1] for kind in SMALL), i3d.I3DLogitsStyleGAN]
each = pytest.mark.parametrize("kind", SMALL, ids=lambda kind: kind.name)


def saved(kind, folder):
    """Files of random weights under the published names, and their paths."""
    state = built(partial(SMALL[kind], **kind.widths), seed=3, gain=2.4).state_dict()
    if kind is SmallAudioClip:
        state = {f"audio.{name}": value for name, value in state.items()}
    if kind is SmallC3D:
        np.savez(
            folder / kind.weights[0].name,
            **{name.replace(".weight", "/W").replace(".bias", "/b"): v for name, v in state.items()},
        )
        np.savez(folder / kind.weights[1].name, mean=np.full((3, 16, 128, 171), 100, np.float32))
    else:
        torch.save(state, folder / kind.weights[0].name)
    return [folder / file.name for file in kind.weights]


def samples(kind):
    """Clips of several lengths and shapes."""
    found = []
    for i, (t, h, w, n) in enumerate([(16, 20, 30, 40_000), (33, 30, 20, 40_000), (20, 20, 20, 52_000), (16, 24, 40, 33_000)]):
        rng = np.random.default_rng(i)
        frames = rng.integers(0, 256, (t, h, w, 3), dtype=np.uint8) if kind.input_spec.video else None
        channels = 1 if kind.input_spec.mono else 2
        waveform = (0.1 * rng.standard_normal((channels, n))).astype(np.float32) if kind.input_spec.audio else None
        found.append(Sample(Clip(frames, waveform, fps=Fraction(10), sample_rate=kind.input_spec.sample_rate or 16000)))
    return found


def features(extractor, prepared, batch):
    return [one for i in range(0, len(prepared), batch) for one in extractor.embed(prepared[i : i + batch])]


def alike(first, second):
    assert first.keys() == second.keys()
    return all(np.allclose(first[key], second[key], rtol=1e-4, atol=1e-5) for key in first)


@each
def test_features_do_not_depend_on_batches_order_repetitions_or_the_run(kind, tmp_path):
    files = saved(kind, tmp_path)
    extractor = kind()
    extractor.load(files)
    clips = samples(kind)
    prepared = [extractor.prepare(one) for one in clips]
    once = features(extractor, prepared, 4)
    assert len(once) == 4
    for one in once:
        assert all(
            isinstance(value, np.ndarray) and value.dtype == np.float32 and np.isfinite(value).all() for value in one.values()
        )
    assert not alike(once[0], once[3]), "two clips have two features"
    again = kind()
    again.load(files)
    for one, other in zip(once, features(again, [again.prepare(one) for one in clips], 1), strict=True):
        assert alike(one, other), "a second run, one by one"
    order = [2, 0, 3, 1, 0, 0]
    for i, one in zip(order, features(extractor, [prepared[i] for i in order], 3), strict=True):
        assert alike(one, once[i]), "another order, with repetitions"


@each
def test_preparing_does_not_need_the_weights_and_gives_plain_arrays(kind):
    for sample in samples(kind):
        assert all(isinstance(value, np.ndarray) for value in kind().prepare(sample).values())


@each
def test_weights_of_another_network_are_refused_in_one_line(kind, tmp_path):
    files = saved(kind, tmp_path)
    with pytest.raises(ValueError, match="weights of another network than") as caught:
        kind.__mro__[1]().load(files)
    assert files[0].name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", PUBLISHED, ids=lambda kind: kind.name)
def test_an_extractor_says_what_its_numbers_depend_on(kind):
    json.dumps({"name": kind.name, "version": kind.version, **kind.input_spec.to_record(), **kind.settings})
    assert kind.what
    assert kind.settings
    for file in kind.weights:
        assert file.source.startswith("https://")
        assert file.licence
        assert "\n" not in file.source


def test_names_are_given_once():
    assert len({kind.name for kind in PUBLISHED}) == len(PUBLISHED)


def test_a_file_with_the_right_name_and_the_wrong_hash_is_refused(tmp_path):
    saved(SmallVGGish, tmp_path)
    with pytest.raises(ValueError, match=r"not the published vggish-10086976\.pth"):
        find_extractor_weights(vggish.VGGishFeatures, tmp_path)
    saved(SmallPanns, tmp_path)
    with pytest.raises(ValueError, match=r"not the published Cnn14_16k"):
        find_extractor_weights(cnn14.PannsFeatures, tmp_path)

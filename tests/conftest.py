"""Real components, as small as they come, with fixed random weights: what the tests of whole pipelines share."""

import os
import signal
from fractions import Fraction
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)

# Each worker has its own cache of numba: workers that fill one together can leave code that crashes. Libraries that some tests
# compare with import librosa without the lock of metrics.extractors.optional.
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")
os.environ["NUMBA_CACHE_DIR"] = str(Path(__file__).parents[1] / ".pytest_cache" / "numba" / WORKER)


@pytest.fixture(scope="session", autouse=True)
def own_certificate(tmp_path_factory):
    """Files are signed with a certificate of the tests' own, never with the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SONOVID_PROVENANCE_HOME", str(tmp_path_factory.mktemp("configuration") / "provenance"))
        patch.delenv("SONOVID_CERTIFICATE", raising=False)
        patch.delenv("SONOVID_PRIVATE_KEY", raising=False)
        yield


@pytest.fixture(scope="session")
def ray_cluster():
    """Ray on this machine, for all tests of a process: a second start of Ray in one process has crashed it.

    Ray's workers are told where the modules of the tests lie.
    """
    pytest.importorskip("ray")
    from sonovid.core.ray_session import open_ray

    tests = Path(__file__).parent
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, (tests.parent, tests / "metrics"))))
        patch.setenv("OMP_NUM_THREADS", "1")
        with open_ray() as ray:
            # The tests of signals see the usual handler.
            signal.signal(signal.SIGTERM, handler)
            yield ray
    assert signal.getsignal(signal.SIGTERM) == handler


@pytest.fixture(scope="session")
def tiny_pipeline():
    """A pipeline that has learnt nothing: 16x16 pictures, 8 frames at 8 per second, 8 kHz."""
    from sonovid.codecs.audio import MelAutoencoder
    from sonovid.codecs.mel import LogMel
    from sonovid.codecs.spectrogram import SpectrogramCodec
    from sonovid.codecs.text import HashedText
    from sonovid.codecs.video import FrameAutoencoder
    from sonovid.codecs.vocoder import SpectralVocoder
    from sonovid.core.geometry import Geometry
    from sonovid.models.uniform.transformer import UniForm
    from sonovid.pipelines.pipeline import SoundingVideoPipeline

    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        video = FrameAutoencoder(latent_channels=4, patch=2, widths=(8,), blocks=1)
        log_mel = LogMel(sample_rate=8000, bins=16, n_fft=256, window=256, hop=125, high=4000.0)
        vocoder = SpectralVocoder(bins=16, n_fft=256, hop=125, width=16, depth=1)
        audio = SpectrogramCodec(MelAutoencoder(bins=16, latent_channels=4, width=16, blocks=1), vocoder, log_mel)
        denoiser = UniForm(depth=1, width=16, heads=2, patch_size=(2, 2, 2), video=(4, 8, 8), audio=(4, 1, 2), text_width=32)
        # A network starts silent; a test that cannot tell one input from another would prove nothing.
        for parameter in denoiser.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        text = HashedText(width=32)
    geometry = Geometry(8, Fraction(8), 16, 16, 8000)
    pipe = SoundingVideoPipeline(denoiser, video, audio, text, geometry=geometry, options={"num_inference_steps": 3})
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="session")
def tiny_folder(tiny_pipeline, tmp_path_factory):
    """The tiny pipeline, saved."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_pipeline.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def foreign_folder(tmp_path_factory):
    """Of a family of diffusers' joint pipelines ("ltx2", ...), a tiny random model as a folder, built when first asked for."""
    import tiny_models

    folders = {}

    def folder(name):
        if name not in folders:
            tiny_models.skip_without(name)
            folders[name] = getattr(tiny_models, name)(tmp_path_factory.mktemp("foreign") / name)
        return folders[name]

    return folder

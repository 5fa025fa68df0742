"""A server with the tiny model, and input files for it."""

import time
from fractions import Fraction

import numpy as np
import pytest

from sonovid import media
from sonovid.core.clip import Clip

pytest.importorskip("fastapi", reason="pip install 'sonovid[app]'")


@pytest.fixture
def settings(tiny_folder, tmp_path):
    """Settings of a server in a folder of its own, with the tiny model."""
    from sonovid.app.settings import Settings

    return Settings(folder=tmp_path / "server", models=(str(tiny_folder),), max_seconds=Fraction(4), max_pixels=256 * 256)


@pytest.fixture
def client(settings):
    """A client of a running server without a page."""
    from starlette.testclient import TestClient

    from sonovid.app.server import create_app

    with TestClient(create_app(settings, page=False), base_url="http://127.0.0.1:7860") as client:
        yield client


@pytest.fixture(scope="session")
def film(tmp_path_factory):
    """A silent video of 1.5 s: 32x24, 12 frames per second."""
    path = tmp_path_factory.mktemp("given") / "film.mp4"
    frames = np.random.default_rng(0).integers(0, 255, (18, 24, 32, 3), dtype=np.uint8)
    return media.write(path, Clip(frames, None, fps=Fraction(12)))


@pytest.fixture(scope="session")
def tone(tmp_path_factory):
    """A sound of 1.25 s: a tone at 22.05 kHz."""
    path = tmp_path_factory.mktemp("given") / "tone.wav"
    times = np.arange(27563) / 22050
    return media.write(path, Clip(None, 0.3 * np.sin(2 * np.pi * 440 * times)[None].astype(np.float32), sample_rate=22050))


@pytest.fixture
def ended():
    """Wait for a job and return its description."""

    def wait(client, job_id, seconds=60):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            told = client.get(f"/v1/videos/{job_id}").json()
            if told.get("status") in ("completed", "failed", None):
                return told
            time.sleep(0.02)
        raise AssertionError(f"{job_id} did not end in {seconds} s")

    return wait

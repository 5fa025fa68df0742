"""Content credentials: signing, reading and checking."""

import os
import stat
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from sonovid import media
from sonovid.cli import main
from sonovid.core.clip import Clip
from sonovid.provenance import Credentials, Record, certificates, credentials, signed_file, verify

c2pa = pytest.importorskip("c2pa", reason="c2pa-python is not installed")
RECORD = Record(False, True, "tiny", "uniform", "0.1.0", 7, 25, "a ball", given="film.mp4")


def clip(seed=0):
    draw = np.random.default_rng(seed)
    frames = draw.integers(0, 256, (8, 16, 24, 3), dtype=np.uint8)
    return Clip(frames, draw.uniform(-0.5, 0.5, (1, 8000)).astype(np.float32), fps=Fraction(8), sample_rate=8000)


@pytest.fixture
def made(tmp_path):
    """A signed video whose frames are from an input file."""
    film = media.write(tmp_path / "film.mp4", clip())
    out = tmp_path / "out.mp4"
    with signed_file(out, RECORD, ingredient=film) as path:
        media.mux(film, clip(1).waveform, 8000, path, metadata=RECORD.to_metadata())
    return out


def test_a_signed_file_is_valid_and_says_what_is_generated(made):
    verdict = verify(made)
    assert verdict.state == "valid"
    assert verdict.record == RECORD
    assert verdict.by_model
    assert verdict.ingredients == ("film.mp4",)
    assert verdict.reason == ""


def test_signing_changes_neither_pictures_nor_sound(made, tmp_path):
    plain = media.mux(tmp_path / "film.mp4", clip(1).waveform, 8000, tmp_path / "plain.mp4", metadata=RECORD.to_metadata())
    one, two = media.read(made), media.read(plain)
    assert np.array_equal(one.frames, two.frames)
    assert np.array_equal(one.waveform, two.waveform)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["film.mp4", "out.mp4", "plain.mp4"]


def test_another_machine_does_not_know_the_signer(made, tmp_path, monkeypatch):
    root = certificates.local_root()
    (tmp_path / "root.pem").write_bytes(root)
    monkeypatch.setenv("SONOVID_PROVENANCE_HOME", str(tmp_path / "elsewhere"))
    assert verify(made).state == "signer unknown"
    assert verify(made).record == RECORD
    assert verify(made, trust=tmp_path / "root.pem").state == "valid"


def test_a_single_changed_byte_is_seen(made):
    data = bytearray(made.read_bytes())
    data[data.index(b"mdat") + 100] ^= 1
    made.write_bytes(data)
    verdict = verify(made)
    assert verdict.state == "changed"
    assert "bmffHash.mismatch" in verdict.reason


def test_credentials_that_are_lost_are_absent(made, tmp_path):
    """As any copy by another program loses them; the container still says it."""
    copy = media.mux(made, clip(1).waveform, 8000, tmp_path / "copy.mp4", metadata=RECORD.to_metadata())
    verdict = verify(copy)
    assert (verdict.state, verdict.record, verdict.by_model) == ("absent", RECORD, False)


@pytest.mark.parametrize("suffix", [".mov", ".wav"])
def test_other_kinds_of_files(tmp_path, suffix):
    out = tmp_path / f"out{suffix}"
    with signed_file(out, RECORD) as path:
        media.write(path, clip())
    assert verify(out).state == "valid"
    assert media.read(out, video=suffix != ".wav").waveform.shape == (1, 8000)


def test_what_fails_leaves_nothing(tmp_path, monkeypatch):
    out = tmp_path / "out.mp4"
    with pytest.raises(media.MediaError), signed_file(out, RECORD) as path:
        media.write(path, Clip(clip().frames[:0], None))
    assert not list(tmp_path.iterdir())
    out.write_bytes(b"mine")
    with pytest.raises(FileExistsError), signed_file(out, RECORD):
        pass
    # A certificate that does not sign: what was there stays.
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    key.write_bytes((certificates.certificate_folder() / "key.pem").read_bytes())
    monkeypatch.setenv("SONOVID_CERTIFICATE", str(chain))
    with pytest.raises(ValueError, match="go together"):
        certificates.signing_identity()
    monkeypatch.setenv("SONOVID_PRIVATE_KEY", str(key))
    with (
        pytest.raises(ValueError, match=r"out\.mp4: cannot be signed .*--credentials off"),
        signed_file(out, RECORD, overwrite=True) as path,
    ):
        media.write(path, clip())
    assert out.read_bytes() == b"mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["chain.pem", "key.pem", "out.mp4"]


def test_somebodys_own_certificate(tmp_path, monkeypatch):
    other = tmp_path / "other"
    monkeypatch.setenv("SONOVID_PROVENANCE_HOME", str(other))
    certificates.signing_identity()
    monkeypatch.delenv("SONOVID_PROVENANCE_HOME")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "empty"))
    monkeypatch.setenv("SONOVID_CERTIFICATE", str(other / "chain.pem"))
    monkeypatch.setenv("SONOVID_PRIVATE_KEY", str(other / "key.pem"))
    with signed_file(tmp_path / "out.mp4", RECORD) as path:
        media.write(path, clip())
    assert verify(tmp_path / "out.mp4", trust=other / "chain.pem").state == "valid"
    assert not (tmp_path / "empty").exists()


def test_the_own_certificate_is_made_once_and_its_key_is_private(tmp_path, monkeypatch):
    monkeypatch.setenv("SONOVID_PROVENANCE_HOME", str(tmp_path / "a" / "provenance"))
    first = certificates.signing_identity()
    assert certificates.signing_identity() == first
    assert stat.S_IMODE(os.stat(tmp_path / "a" / "provenance" / "key.pem").st_mode) == 0o600
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["provenance"]


def test_processes_that_make_it_at_once_agree(tmp_path):
    home = tmp_path / "provenance"
    code = "from sonovid.provenance import certificates; print(hash(certificates.signing_identity().key))"
    environment = {**os.environ, "SONOVID_PROVENANCE_HOME": str(home), "PYTHONHASHSEED": "0"}
    running = [subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE) for _ in range(3)]
    assert len({process.communicate()[0] for process in running}) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["provenance"]


def test_modes(tmp_path, monkeypatch):
    assert Credentials().should_sign(tmp_path / "a.mp4")
    assert not Credentials().should_sign(tmp_path / "a.mkv")
    assert not Credentials("off").should_sign(tmp_path / "a.mp4")
    with pytest.raises(ValueError, match=r"a\.mkv: content credentials are supported in"):
        Credentials("on").should_sign(tmp_path / "a.mkv")
    monkeypatch.setattr(credentials, "available", lambda: False)
    assert not Credentials().should_sign(tmp_path / "a.mp4")
    with pytest.raises(ValueError, match="need c2pa-python, which is not installed"):
        Credentials("on").should_sign(tmp_path / "a.mp4")


def test_the_commands(tiny_folder, tmp_path, capsys):
    """Every file that generate makes is signed, and verify tells of it; one that is changed is an error."""
    film, out = media.write(tmp_path / "film.mp4", clip()), tmp_path / "out.mp4"
    assert main(["generate", "--video", str(film), "--model", str(tiny_folder), "-o", str(out), "--seed", "5", "--quiet"]) == 0
    assert main(["verify", str(out)]) == 0
    said = capsys.readouterr().out
    facts = ("credentials  valid", "generated    sound", "given        pictures, of film.mp4", "seed         5, 3 steps")
    for fact in (*facts, "model tiny"):
        assert fact in said, said
    assert main(["verify", str(film)]) == 0
    assert capsys.readouterr().out == "credentials  absent\n"
    data = bytearray(out.read_bytes())
    data[-40] ^= 1
    out.write_bytes(data)
    assert main(["verify", str(out)]) == 2
    assert "was changed since it was signed" in capsys.readouterr().err
    assert main(["verify", str(tmp_path / "nothing.mp4")]) == 2
    assert "no such file" in capsys.readouterr().err
    words = ["generate", "a hit", "--model", str(tiny_folder), "--quiet"]
    assert main([*words, "-o", str(tmp_path / "a.mkv"), "--credentials", "on"]) == 2
    assert "content credentials are supported in" in capsys.readouterr().err
    assert main([*words, "-o", str(tmp_path / "b.mp4"), "--credentials", "off"]) == 0
    assert verify(tmp_path / "b.mp4").state == "absent"
    assert verify(tmp_path / "b.mp4").record.generated == "pictures and sound"

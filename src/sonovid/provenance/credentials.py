"""C2PA content credentials: a file is written aside, signed as the last step, and put in place in one step."""

import json
import logging
import mimetypes
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sonovid.media.files import in_place
from sonovid.provenance.certificates import Identity, identity
from sonovid.provenance.record import NAME, Record

# Kinds of files that carry credentials; others (mkv, flac) keep the comment of their container alone.
SIGNED = (".mp4", ".mov", ".wav")
MODES = ("auto", "on", "off")
# IPTC's word for what a trained model made.
TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
ASSERTION = "org.sonovid.pipelines.generation"
INSTALL = "pip install 'sonovid[provenance]'"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Credentials:
    """Whether and how files are signed.

    mode: "auto": where c2pa-python is installed and the kind of file allows it; "on": or an error; "off".
    """

    mode: str = "auto"

    def wanted(self, path: Path) -> bool:
        """Whether a file of this name is to be signed.

        Raises:
            ValueError: it has to be, and cannot.
        """
        if self.mode not in MODES:
            raise ValueError(f"credentials {self.mode!r}: expected one of {', '.join(MODES)}")
        if self.mode == "off":
            return False
        fits = path.suffix.lower() in SIGNED
        if self.mode == "on" and not fits:
            raise ValueError(f"{path}: content credentials lie in {', '.join(SIGNED)} alone; write one of these")
        if self.mode == "on" and not available():
            raise ValueError(f"content credentials need c2pa-python, which is not installed: {INSTALL}")
        return fits and available()


def available() -> bool:
    """Whether the packages for signing are installed."""
    import importlib.util

    return all(importlib.util.find_spec(name) is not None for name in ("c2pa", "cryptography"))


@contextmanager
def signed(
    path: "str | os.PathLike",
    record: Record,
    *,
    given: "str | os.PathLike | None" = None,
    overwrite: bool = False,
    credentials: Credentials | None = None,
) -> Iterator[Path]:
    """A name to write a file to, which is signed when the block ends well and appears under `path` whole or not at all.

    given: the file of a kept stream, or of the clip that is continued, which becomes an ingredient; numbered pictures do not.
    Where nothing is signed, the name is `path` itself.

    Raises:
        ValueError: credentials are asked for and cannot be given, or the certificate does not sign.
        FileExistsError: `path` exists and may not be overwritten.
    """
    path = Path(path)
    if not (credentials or Credentials()).wanted(path):
        yield path
        return
    signer = identity()
    given = given if given is not None and Path(given).is_file() else None
    with in_place(path, overwrite=overwrite) as beside, tempfile.TemporaryDirectory(dir=path.parent, prefix=".signing-") as aside:
        unsigned = Path(aside) / path.name
        yield unsigned
        sign(unsigned, beside, record, signer, given)


def sign(source: Path, out: Path, record: Record, signer: Identity, given: "str | os.PathLike | None" = None) -> None:
    """Write `source` with credentials to `out`.

    Raises:
        ValueError: the certificate does not sign.
    """
    import c2pa

    info = c2pa.C2paSignerInfo(alg=algorithm(signer.key), sign_cert=signer.chain, private_key=signer.key, ta_url=None)
    try:
        context = c2pa.Context(c2pa.Settings.from_dict(OFFLINE))
        with c2pa.Builder(json.dumps(manifest(record, source, given)), context) as builder:
            if given is not None:
                add_ingredient(builder, Path(given), record)
            with c2pa.Signer.from_info(info) as seal:
                builder.sign_file(source, out, seal)
    except c2pa.C2paError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{source.name}: cannot be signed ({reason}); --credentials off leaves it unsigned") from error


# No request to another host: neither for a manifest that lies elsewhere, nor for whether a certificate was called back.
OFFLINE: dict[str, Any] = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": True},
    "builder": {"thumbnail": {"enabled": False}},
}


def algorithm(key: bytes) -> str:
    """C2PA's name of the algorithm that a private key signs by.

    Raises:
        ValueError: a key of another kind.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    secret = serialization.load_pem_private_key(key, None)
    if isinstance(secret, ec.EllipticCurvePrivateKey):
        return {256: "es256", 384: "es384", 521: "es512"}[secret.curve.key_size]
    if isinstance(secret, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(secret, rsa.RSAPrivateKey):
        return "ps256"
    raise ValueError("private key: expected one of an elliptic curve, Ed25519 or RSA")


def manifest(record: Record, path: Path, given: "str | os.PathLike | None") -> dict[str, Any]:
    """What is claimed: that a trained model made this, with what, and what of it was given."""
    agent = {"name": NAME, "version": record.version}
    actions: Sequence[dict[str, Any]] = [
        {
            "action": "c2pa.created",
            "digitalSourceType": TRAINED,
            "softwareAgent": agent,
            "description": f"{record.generated} generated by {record.model} ({record.system})",
        }
    ]
    if given is not None:
        actions = [*actions, {"action": "c2pa.placed", "softwareAgent": agent, "parameters": {"ingredientIds": [INGREDIENT]}}]
    return {
        "title": path.name,
        "format": mimetypes.guess_type(path.name)[0] or "video/mp4",
        "claim_generator_info": [agent],
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": actions}},
            {"label": ASSERTION, "data": record.to_config()},
        ],
    }


INGREDIENT = "given"


def add_ingredient(builder: Any, given: Path, record: Record) -> None:
    """Name the given file, with its hash or with its own credentials, as what a stream was taken from."""
    kind = mimetypes.guess_type(given.name)[0] or "application/octet-stream"
    told = {"title": given.name, "relationship": "componentOf", "label": INGREDIENT, "description": f"its {record.kept} is kept"}
    with given.open("rb") as file:
        builder.add_ingredient(json.dumps(told), kind, file)

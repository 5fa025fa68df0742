"""Reads and checks the content credentials of files."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sonovid.provenance.certificates import local_root
from sonovid.provenance.credentials import ASSERTION, C2PA_SETTINGS, INSTALL, TRAINED_MEDIA, available
from sonovid.provenance.record import Record, read_record

STATES = ("valid", "signer unknown", "changed", "absent")


@dataclass(frozen=True)
class Verdict:
    """The result of checking a file.

    Args:
        state: "valid": unchanged, signed by a trusted signer; "signer unknown": unchanged, signed by someone else; "changed":
            changed since it was signed; "absent": no content credentials.
        record: How the file was generated, from the credentials or, without them, from the container's metadata.
        by_model: Whether the credentials say that a trained model generated it.
        signer: Who signed it.
        ingredients: Names of the files that parts were taken from.
        reason: The checks that failed.
    """

    state: str
    record: Record | None
    by_model: bool = False
    signer: str = ""
    ingredients: tuple[str, ...] = ()
    reason: str = ""


def verify(path: "str | os.PathLike", *, trust: "str | os.PathLike | None" = None) -> Verdict:
    """Read a file's content credentials and check the file against them, without network requests.

    Args:
        path: A media file.
        trust: A PEM file of certificates to trust, in place of this machine's own.

    Raises:
        ValueError: c2pa-python is not installed, no such file, not a media file, or unreadable credentials.
    """
    path = Path(path)
    record = read_record(path)
    if not available():
        raise ValueError(f"content credentials need c2pa-python, which is not installed: {INSTALL}")
    import c2pa

    anchors = Path(trust).read_bytes() if trust is not None else local_root()
    settings = {**C2PA_SETTINGS, **({"trust": {"trust_anchors": anchors.decode()}} if anchors else {})}
    try:
        with path.open("rb") as file:
            reader = c2pa.Reader.try_create(media_type(path), file, context=c2pa.Context(c2pa.Settings.from_dict(settings)))
            if reader is None:
                return Verdict("absent", record)
            with reader:
                found, state = json.loads(reader.json()), reader.get_validation_state()
    except c2pa.C2paError.NotSupported:
        return Verdict("absent", record)
    except c2pa.C2paError as error:
        return Verdict("changed", None, reason=" ".join(str(error).split()))
    return read_verdict(found, state)


def media_type(path: Path) -> str:
    """The MIME type of a file, by its suffix."""
    return {".mp4": "video/mp4", ".mov": "video/quicktime", ".wav": "audio/wav"}.get(path.suffix.lower(), path.suffix.lower()[1:])


def read_verdict(found: dict[str, Any], state: "str | None") -> Verdict:
    """The verdict from c2pa's report and validation state of a file."""
    active = found["manifests"][found["active_manifest"]]
    assertions = {entry["label"]: entry["data"] for entry in active.get("assertions", [])}
    actions = [action for label, data in assertions.items() if label.startswith("c2pa.actions") for action in data["actions"]]
    record = assertions.get(ASSERTION)
    failures = found.get("validation_results", {}).get("activeManifest", {}).get("failure", [])
    broken = [failure for failure in failures if not failure["code"].startswith("signingCredential.untrusted")]
    return Verdict(
        state={"Trusted": "valid", "Valid": "signer unknown"}.get(state or "", "changed"),
        record=None if record is None else Record(**record),
        by_model=any(action.get("digitalSourceType") == TRAINED_MEDIA for action in actions),
        signer=(active.get("signature_info") or {}).get("common_name") or (active.get("signature_info") or {}).get("issuer", ""),
        ingredients=tuple(ingredient.get("title", "") for ingredient in active.get("ingredients", [])),
        reason="; ".join(dict.fromkeys(failure["code"] for failure in broken)),
    )

"""What a file says of where it comes from, and whether that holds."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sonovid.provenance.certificates import own_root
from sonovid.provenance.credentials import ASSERTION, INSTALL, OFFLINE, TRAINED, available
from sonovid.provenance.record import Record, read_record

STATES = ("valid", "signer unknown", "changed", "absent")


@dataclass(frozen=True)
class Verdict:
    """What is found in a file.

    state: "valid": signed by somebody who is trusted, and unchanged; "signer unknown": unchanged, signed by somebody else;
    "changed": not what was signed; "absent": no content credentials.
    record: what the credentials say of how it was made, or, where there are none, the container.
    by_model: whether the credentials say that a trained model made something of it.
    signer: who signed. ingredients: files that parts were taken from. reason: what does not hold.
    """

    state: str
    record: Record | None
    by_model: bool = False
    signer: str = ""
    ingredients: tuple[str, ...] = ()
    reason: str = ""


def verify(path: "str | os.PathLike", *, trust: "str | os.PathLike | None" = None) -> Verdict:
    """Read a file's content credentials, and hold the file against them. No request is made to any host.

    trust: a PEM file of certificates to trust, in place of this machine's own.

    Raises:
        ValueError: c2pa-python is not installed, no such file, no media file, or credentials that cannot be read.
    """
    path = Path(path)
    record = read_record(path)
    if not available():
        raise ValueError(f"content credentials need c2pa-python, which is not installed: {INSTALL}")
    import c2pa

    anchors = Path(trust).read_bytes() if trust is not None else own_root()
    settings = {**OFFLINE, **({"trust": {"trust_anchors": anchors.decode()}} if anchors else {})}
    try:
        with path.open("rb") as file:
            reader = c2pa.Reader.try_create(kind_of(path), file, context=c2pa.Context(c2pa.Settings.from_dict(settings)))
            if reader is None:
                return Verdict("absent", record)
            with reader:
                found, state = json.loads(reader.json()), reader.get_validation_state()
    except c2pa.C2paError.NotSupported:
        return Verdict("absent", record)
    except c2pa.C2paError as error:
        return Verdict("changed", None, reason=" ".join(str(error).split()))
    return judged(found, state)


def kind_of(path: Path) -> str:
    """The media type of a file, by its name."""
    return {".mp4": "video/mp4", ".mov": "video/quicktime", ".wav": "audio/wav"}.get(path.suffix.lower(), path.suffix.lower()[1:])


def judged(found: dict[str, Any], state: "str | None") -> Verdict:
    """A verdict from what c2pa reports of a file."""
    active = found["manifests"][found["active_manifest"]]
    assertions = {entry["label"]: entry["data"] for entry in active.get("assertions", [])}
    actions = [action for label, data in assertions.items() if label.startswith("c2pa.actions") for action in data["actions"]]
    told = assertions.get(ASSERTION)
    failures = found.get("validation_results", {}).get("activeManifest", {}).get("failure", [])
    broken = [failure for failure in failures if not failure["code"].startswith("signingCredential.untrusted")]
    return Verdict(
        state={"Trusted": "valid", "Valid": "signer unknown"}.get(state or "", "changed"),
        record=None if told is None else Record(**told),
        by_model=any(action.get("digitalSourceType") == TRAINED for action in actions),
        signer=(active.get("signature_info") or {}).get("common_name") or (active.get("signature_info") or {}).get("issuer", ""),
        ingredients=tuple(ingredient.get("title", "") for ingredient in active.get("ingredients", [])),
        reason="; ".join(dict.fromkeys(failure["code"] for failure in broken)),
    )

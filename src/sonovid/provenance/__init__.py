"""Provenance of generated files: a record in the container and, with c2pa-python installed, C2PA content credentials.

Record       how a file was generated: streams, model, seed, prompt, input file
signed_file  context manager that writes a file and signs it as the last step
verify       reads and checks the credentials of a file
"""

from typing import Any

from sonovid.provenance.credentials import Credentials, signed_file
from sonovid.provenance.record import Record
from sonovid.provenance.verification import Verdict, verify

__all__ = ["Credentials", "Record", "Verdict", "signed_file", "verify"]


def __getattr__(name: str) -> Any:
    """The old name of `signed_file`, whose ingredient was called given."""
    if name != "signed":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import warnings

    warnings.warn("sonovid.provenance.signed is now signed_file; the old name will be removed", DeprecationWarning, stacklevel=2)
    return lambda path, record, *, given=None, **options: signed_file(path, record, ingredient=given, **options)

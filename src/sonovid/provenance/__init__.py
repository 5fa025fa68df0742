"""Where a file comes from: said in its container always, and signed as C2PA content credentials where c2pa-python is installed.

Record     what was generated, what was given, by which model, seed and version
signed     a context in which a file is written, signed last, and put in place in one step
verify     what a file says of itself, and whether that holds
"""

from sonovid.provenance.credentials import Credentials, signed
from sonovid.provenance.record import Record
from sonovid.provenance.verifying import Verdict, verify

__all__ = ["Credentials", "Record", "Verdict", "signed", "verify"]

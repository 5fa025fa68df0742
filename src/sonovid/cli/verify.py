"""sonovid verify: what a file says of where it comes from, and whether that holds."""

import argparse
from typing import Any

DESCRIPTION = """\
Read the C2PA content credentials of a file, and hold the file against them. No request is made to any host.

  valid            unchanged since it was signed, by this machine or by a certificate of --trust
  signer unknown   unchanged since it was signed, by somebody else
  changed          not what was signed; the command ends with an error
  absent           no credentials; what the container says of itself is shown, which anybody could have written
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "verify",
        help="where a file comes from: its content credentials, and whether they hold",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("file", metavar="FILE", help="a media file")
    parser.add_argument("--trust", metavar="PEM", help="certificates of signers to trust, in place of this machine's own")


def run(args: argparse.Namespace) -> None:
    """Say it, one fact to a line.

    Raises:
        ValueError: the file is not what was signed.
    """
    from sonovid.provenance import verify

    verdict = verify(args.file, trust=args.trust)
    for name, value in facts(verdict).items():
        print(f"{name:11}  {value}")
    if verdict.state == "changed":
        raise ValueError(f"{args.file}: it was changed since it was signed ({verdict.reason or 'its credentials do not hold'})")


def facts(verdict: Any) -> dict[str, str]:
    """A verdict in words."""
    found = {"credentials": verdict.state}
    if verdict.signer:
        found["signer"] = verdict.signer
    record = verdict.record
    if record is not None:
        found["generated"] = record.generated
        if record.given:
            found["given"] = f"{record.kept}, of {record.given}"
        found["made by"] = f"sonovid {record.version}, model {record.model} ({record.system})"
        if record.prompt:
            found["prompt"] = record.prompt
        if record.label:
            found["class"] = record.label
        seed = "unknown" if record.seed is None else record.seed
        found["seed"] = f"{seed}, {record.steps or 'unknown'} steps"
        if verdict.state == "absent":
            found["note"] = "the container says so, unsigned"
    elif verdict.by_model:
        found["generated"] = "by a trained model; by which and what of it is not said"
    if verdict.ingredients:
        found["ingredients"] = ", ".join(verdict.ingredients)
    return found

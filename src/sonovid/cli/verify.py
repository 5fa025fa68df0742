"""sonovid verify: reads and checks the content credentials of a file."""

import argparse
from typing import Any

DESCRIPTION = """\
Read the C2PA content credentials of a file and check the file against them. No network request is made.

  valid            unchanged since it was signed, by this machine or by a certificate of --trust
  signer unknown   unchanged since it was signed, by an unknown signer
  changed          changed since it was signed; the command fails
  absent           no credentials; the unsigned metadata of the container is shown, which anybody could have written
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "verify",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("file", metavar="FILE", help="media file")
    parser.add_argument("--trust", metavar="PEM", help="PEM file of certificates to trust, in place of this machine's own")


def run(args: argparse.Namespace) -> None:
    """Print the result, one fact per line.

    Raises:
        ValueError: the file was changed since it was signed.
    """
    from sonovid.provenance import verify

    verdict = verify(args.file, trust=args.trust)
    for name, value in describe_verdict(verdict).items():
        print(f"{name:11}  {value}")
    if verdict.state == "changed":
        raise ValueError(f"{args.file}: it was changed since it was signed ({verdict.reason or 'its credentials do not hold'})")


def describe_verdict(verdict: Any) -> dict[str, str]:
    """The facts of a verdict by name."""
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
            found["note"] = "from the container's metadata, which is not signed"
    elif verdict.by_model:
        found["generated"] = "by a trained model, without details"
    if verdict.ingredients:
        found["ingredients"] = ", ".join(verdict.ingredients)
    return found

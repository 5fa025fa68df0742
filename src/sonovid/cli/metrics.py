"""sonovid metrics: which numbers there are, and what each needs."""

import argparse
import shutil
import textwrap
from typing import Any

DESCRIPTION = """\
List the families of metrics, a line to each; or all metrics, a line to each; of some that are named, everything there is to say.

  sonovid metrics
  sonovid metrics all
  sonovid metrics fvd,av_align_sony
"""
# What the table is at least wide, so that a phrase still says something, and as wide as where it goes is not known.
LEAST, USUAL = 100, 160


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "metrics",
        help="list the metrics, and what each needs",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "names",
        nargs="?",
        metavar="NAME,FAMILY,...|all",
        help="tell everything of these; all: a line to each metric; default: a line to each family",
    )
    parser.add_argument("--weights", metavar="DIR", help="the folder of weight files")


def run(args: argparse.Namespace) -> None:
    """Print the table, or the facts of the named ones."""
    from sonovid.metrics import catalogue

    width = shutil.get_terminal_size((USUAL, 0)).columns
    if args.names is None:
        at_hand = {name: not catalogue.needs(metric, args.weights).missing for name, metric in catalogue.metrics().items()}
        print("\n".join(families(catalogue.families(), at_hand, width)))
        return
    if args.names.strip().lower() == "all":
        chosen = [catalogue.metrics()[name] for names in catalogue.families().values() for name in names]
        found = [(metric, catalogue.needs(metric, args.weights)) for metric in chosen]
        print("\n".join(table(found, width)))
        return
    for index, metric in enumerate(catalogue.select(args.names)):
        told = facts(metric, catalogue.needs(metric, args.weights))
        print(("\n" if index else "") + metric.name)
        for name, value in told.items():
            print(f"  {name:7}  {value}")


def asked(needs: Any) -> list[str]:
    """What a metric needs beside the generated clips, apart from weights; partners by name are of the reference."""
    words = ["pairs"] if needs.pairs else ["reference"] if needs.reference else []
    return [*words, "captions"] if needs.captions else words


def families(names: dict[str, list[str]], at_hand: dict[str, bool], width: int) -> list[str]:
    """One line to a family: how many of its metrics can be computed here, and which they are, those first."""
    rows = [("family", "at hand", "metrics; those in brackets need something that is not at hand")]
    for family, members in names.items():
        ready = [name for name in members if at_hand[name]]
        others = [name for name in members if not at_hand[name]]
        listed = ", ".join(ready) + (f"{' ' if ready else ''}({', '.join(others)})" if others else "")
        rows.append((family, f"{len(ready)} of {len(members)}", listed))
    first, second = (max(len(row[i]) for row in rows) for i in range(2))
    room = max(width, LEAST) - first - second - 4
    lines = [f"{a:{first}}  {b:{second}}  {textwrap.shorten(c, room, placeholder=' …')}" for a, b, c in rows]
    return [
        *lines,
        "",
        "sonovid metrics all lists every metric; sonovid metrics NAME,FAMILY,... says what one is and what it needs.",
    ]


def table(found: list[tuple[Any, Any]], width: int) -> list[str]:
    """One line to a metric: name, family, what it is as far as there is room, what it needs."""
    rows = [
        (metric.name, metric.family, metric.what, ", ".join([*asked(needs), *(["fetch"] if needs.missing else [])]))
        for metric, needs in found
    ]
    header = ("metric", "family", "what it is", "needs")
    name, family, _, need = (max(len(row[i]) for row in [header, *rows]) for i in range(4))
    room = max(width, LEAST) - name - family - need - 6
    lines = [
        f"{a:{name}}  {b:{family}}  {textwrap.shorten(c, room, placeholder='…'):{room}}  {d}".rstrip()
        for a, b, c, d in [header, *rows]
    ]
    return [
        *lines,
        "",
        "needs: a reference; pairs, a reference of the same names; captions; fetch: weights or a library that are not at hand.",
        "sonovid metrics NAME,FAMILY,... says where those are had, which way is better, the unit and the paper.",
    ]


def facts(metric: Any, needs: Any) -> dict[str, str]:
    """Everything there is to say of one metric, in order, without what does not apply."""
    words = {"lower": "the lower, the better", "higher": "the higher, the better", "zero": "the nearer to zero, the better"}
    words["one"] = "the nearer to one, the better"
    told = {
        "family": metric.family,
        "is": metric.what,
        "reads": f"{words[metric.better]}; in {metric.unit}" if metric.unit else words[metric.better],
        "needs": ", ".join(asked(needs)),
        "weights": "" if needs.missing or not needs.weights else f"at hand: {'; '.join(needs.weights)}",
        "missing": needs.missing,
        "after": metric.source,
    }
    return {name: value for name, value in told.items() if value}

"""sonovid metrics: the available metrics and what each needs."""

import argparse
import shutil
import textwrap
from typing import Any

DESCRIPTION = """\
List the families of metrics, all metrics, or the details of some.

  sonovid metrics                            the families, one per line
  sonovid metrics all                        all metrics, one per line
  sonovid metrics fvd,av_align_sony          the details of these
"""
# Smallest width of the table in columns, and its width where the terminal's is unknown.
MIN_WIDTH, DEFAULT_WIDTH = 100, 160


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "metrics",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "names",
        nargs="?",
        metavar="NAME,FAMILY,...|all",
        help="metrics or families to describe in detail; all: one line per metric; default: one line per family",
    )
    parser.add_argument("--weights", metavar="DIR", help="folder of weight files; default: $SONOVID_WEIGHTS")


def run(args: argparse.Namespace) -> None:
    """Print the table, or the details of the named metrics."""
    from sonovid.metrics import catalogue

    width = shutil.get_terminal_size((DEFAULT_WIDTH, 0)).columns
    if args.names is None:
        at_hand = {
            name: not catalogue.metric_requirements(metric, args.weights).missing for name, metric in catalogue.metrics().items()
        }
        print("\n".join(families(catalogue.families(), at_hand, width)))
        return
    if args.names.strip().lower() == "all":
        chosen = [catalogue.metrics()[name] for names in catalogue.families().values() for name in names]
        found = [(metric, catalogue.metric_requirements(metric, args.weights)) for metric in chosen]
        print("\n".join(metric_table(found, width)))
        return
    for index, metric in enumerate(catalogue.select(args.names)):
        details = describe_metric(metric, catalogue.metric_requirements(metric, args.weights))
        print(("\n" if index else "") + metric.name)
        for name, value in details.items():
            print(f"  {name:7}  {value}")


def required_inputs(needs: Any) -> list[str]:
    """What a metric needs besides the generated clips and weights. Pairs are matched with the reference by name."""
    words = ["pairs"] if needs.pairs else ["reference"] if needs.reference else []
    return [*words, "captions"] if needs.captions else words


def families(names: dict[str, list[str]], at_hand: dict[str, bool], width: int) -> list[str]:
    """One line per family: how many of its metrics can be computed here, and which, these first."""
    rows = [("family", "available", "metrics; those in brackets need something that is missing")]
    for family, members in names.items():
        ready = [name for name in members if at_hand[name]]
        others = [name for name in members if not at_hand[name]]
        listed = ", ".join(ready) + (f"{' ' if ready else ''}({', '.join(others)})" if others else "")
        rows.append((family, f"{len(ready)} of {len(members)}", listed))
    first, second = (max(len(row[i]) for row in rows) for i in range(2))
    room = max(width, MIN_WIDTH) - first - second - 4
    lines = [f"{a:{first}}  {b:{second}}  {textwrap.shorten(c, room, placeholder=' …')}" for a, b, c in rows]
    return [
        *lines,
        "",
        "sonovid metrics all lists every metric; sonovid metrics NAME,FAMILY,... describes them and what they need.",
    ]


def metric_table(found: list[tuple[Any, Any]], width: int) -> list[str]:
    """One line per metric: name, family, description as far as it fits, requirements."""
    rows = [
        (metric.name, metric.family, metric.what, ", ".join([*required_inputs(needs), *(["fetch"] if needs.missing else [])]))
        for metric, needs in found
    ]
    header = ("metric", "family", "what it is", "needs")
    name, family, _, need = (max(len(row[i]) for row in [header, *rows]) for i in range(4))
    room = max(width, MIN_WIDTH) - name - family - need - 6
    lines = [
        f"{a:{name}}  {b:{family}}  {textwrap.shorten(c, room, placeholder='…'):{room}}  {d}".rstrip()
        for a, b, c, d in [header, *rows]
    ]
    return [
        *lines,
        "",
        "needs: reference; pairs: a reference with the same names; captions; fetch: weights or a library that is missing.",
        "sonovid metrics NAME,FAMILY,... shows where to get them, which direction is better, the unit and the paper.",
    ]


def describe_metric(metric: Any, needs: Any) -> dict[str, str]:
    """The details of a metric by name, without those that do not apply."""
    words = {"lower": "lower is better", "higher": "higher is better", "zero": "closer to zero is better"}
    words["one"] = "closer to one is better"
    details = {
        "family": metric.family,
        "is": metric.what,
        "reads": f"{words[metric.better]}; in {metric.unit}" if metric.unit else words[metric.better],
        "needs": ", ".join(required_inputs(needs)),
        "weights": "" if needs.missing or not needs.weights else f"available: {'; '.join(needs.weights)}",
        "missing": needs.missing,
        "after": metric.source,
    }
    return {name: value for name, value in details.items() if value}

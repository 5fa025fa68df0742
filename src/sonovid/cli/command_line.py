"""The command line: one parser, and one clear line for every error. Heavy imports wait inside the commands."""

import argparse
import difflib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import sonovid
from sonovid.cli import (
    app,
    benchmark,
    cache,
    calibrate,
    caption,
    compare,
    data,
    evaluate,
    filtering,
    generate,
    import_released,
    inform,
    metrics,
    rate,
    scenes,
    timesteps,
    train,
    verify,
)

COMMANDS = (
    import_released,
    generate,
    app,
    scenes,
    data,
    caption,
    filtering,
    timesteps,
    train,
    cache,
    verify,
    inform,
    evaluate,
    compare,
    benchmark,
    metrics,
    rate,
    calibrate,
)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, with the nearest thing that exists."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise ValueError(f"{message}{self.nearest(message)} (see {self.prog} --help)")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """The arguments by name; one that the command does not take is an error, with what it was meant for."""
        found, rest = self.parse_known_args(args, namespace)
        if rest:
            command: str = getattr(found, "command", None) or ""
            parser = self.commands().get(command, self)
            raise ValueError(f"unrecognized arguments: {' '.join(rest)}{self.meant(rest, command)} (see {parser.prog} --help)")
        return found

    def commands(self) -> dict[str, "Parser"]:
        """The parsers of all commands, by name."""
        return {
            name: parser
            for action in self._actions
            if isinstance(action, argparse._SubParsersAction)
            for name, parser in action.choices.items()
        }

    def meant(self, rest: Sequence[str], command: str) -> str:
        """What arguments that a command does not take were meant for: its nearest option, or the commands that take them."""
        words = [word.split("=")[0] for word in rest if word.startswith("-")]
        parser = self.commands().get(command, self)
        # A command may have commands of its own, as `sonovid rate make`.
        parts = [parser, *(parser.commands().values() if parser is not self else ())]
        own = [option for part in parts for option in part._option_string_actions]
        for word in words:
            if near := difflib.get_close_matches(word, [option for option in own if option != word], 1, 0.6):
                return f"; did you mean {near[0]}?"
            if takers := [name for name, parser in self.commands().items() if word in parser._option_string_actions]:
                return f"; {word} is an option of {', '.join(takers)}"
        return ""

    def nearest(self, message: str) -> str:
        """The command or value that a misspelt one was meant for, as "; did you mean …?", or nothing."""
        if "invalid choice: " in message:
            words, known = (
                [message.split("invalid choice: ")[1].split("'")[1]],
                message.split("choose from ")[-1].strip(")").split(", "),
            )
        else:
            return ""
        near = [m for word in words for m in difflib.get_close_matches(word, [k.strip("'") for k in known], 1, 0.5)]
        return f"; did you mean {near[0]}?" if near else ""


def build_parser() -> Parser:
    """The parser of all commands."""
    parser = Parser(prog="sonovid", description="Sounding video: a video and its sound, generated together.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"sonovid {sonovid.__version__}")
    parser.add_argument("--debug", action="store_true", help="show the whole traceback of an error")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for module in COMMANDS:
        module.add(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0; 2 for what the user can mend, 1 for a fault of ours, 130 where interrupted; 75 for a training that SIGTERM stopped and
        that resume=latest continues.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in given or bool(os.environ.get("SONOVID_TRACEBACK"))
    try:
        args = build_parser().parse_args([word for word in given if word != "--debug"])
        if args.command is None:
            build_parser().print_help()
            return 0
        args.run(args)
        return 0
    except KeyboardInterrupt:
        print("sonovid: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; the interpreter must not try to flush the rest of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            traceback.print_exc()
        code = getattr(error, "exit_code", None)
        expected = isinstance(error, ValueError | OSError) or code is not None
        line = " ".join(str(error).split()) or type(error).__name__
        if not expected:
            line = f"unexpected {type(error).__name__}: {line}; run again with --debug for where it happened"
        print(f"sonovid: error: {line}", file=sys.stderr)
        return code or (2 if expected else 1)


if __name__ == "__main__":
    raise SystemExit(main())

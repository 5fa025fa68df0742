"""The parser of all commands, and main(). Heavy imports happen inside the commands."""

import argparse
import difflib
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import sonovid

# The modules of the commands, and the help lines of the commands of each. `sonovid --help` needs nothing else,
# and a command imports its own module alone.
COMMANDS: dict[str, dict[str, str]] = {
    "import_checkpoint": {"import": "convert a released checkpoint to a model folder"},
    "generate": {"generate": "generate a video with sound from a prompt, a video or an audio file"},
    "app": {"app": "serve a web page and an HTTP API"},
    "scenes": {"scenes": "render procedural sounding clips with known event times"},
    "data": {"data": "prepare clips for training: check, split, caption, filter"},
    "caption": {"caption": "caption clips with an image-text model"},
    "filter": {"filter": "list the clips whose score lies within thresholds in a manifest"},
    "timesteps": {"timesteps": "measure losses over time and estimate the gamma of timestep adjustment"},
    "train": {"train": "train a model or a codec by a recipe", "recipes": "list recipes, or show the values of one"},
    "cache": {"cache": "encode the clips that a recipe trains on, or remove unused latents"},
    "verify": {"verify": "check the content credentials of a file"},
    "info": {"info": "show facts of a media file, clips, a training run or a model"},
    "evaluate": {"evaluate": "evaluate generated clips against a reference"},
    "compare": {"compare": "evaluate several systems side by side"},
    "benchmark": {"benchmark": "compare systems on held-out scenes"},
    "metrics": {"metrics": "list the metrics and what each needs"},
    "rate": {"rate": "run a blinded rating study"},
    "calibrate": {"calibrate": "test how metrics respond to known degradations"},
}
HELP = {name: line for lines in COMMANDS.values() for name, line in lines.items()}


class Subcommands(argparse._SubParsersAction):
    """Subcommands that take their help lines from `COMMANDS` where they have none of their own."""

    def add_parser(self, name: str, **options: Any) -> Any:
        """Add a subcommand."""
        return super().add_parser(name, **({"help": HELP[name]} | options if name in HELP else options))


class Parser(argparse.ArgumentParser):
    """A parser that reports errors as one line with a suggestion."""

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self.register("action", "parsers", Subcommands)

    def error(self, message: str) -> None:  # type: ignore[override]
        """Raise ValueError with the message, a suggestion and where to find help."""
        raise ValueError(f"{message}{self.closest_choice(message)} (see {self.prog} --help)")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse the arguments.

        Raises:
            ValueError: an argument that the command does not take, with a suggestion.
        """
        found, rest = self.parse_known_args(args, namespace)
        if rest:
            command: str = getattr(found, "command", None) or ""
            parser = self.subcommands().get(command, self)
            raise ValueError(
                f"unrecognized arguments: {' '.join(rest)}{self.suggest_option(rest, command)} (see {parser.prog} --help)"
            )
        return found

    def subcommands(self) -> dict[str, "Parser"]:
        """The parsers of the subcommands by name."""
        return {
            name: parser
            for action in self._actions
            if isinstance(action, argparse._SubParsersAction)
            for name, parser in action.choices.items()
        }

    def suggest_option(self, rest: Sequence[str], command: str) -> str:
        """ "; did you mean ...?" for a misspelt option, or the commands that take the option; else nothing."""
        words = [word.split("=")[0] for word in rest if word.startswith("-")]
        parser = self.subcommands().get(command, self)
        # A command may have subcommands, as `sonovid rate make`.
        parts = [parser, *(parser.subcommands().values() if parser is not self else ())]
        own = [option for part in parts for option in part._option_string_actions]
        for word in words:
            if near := difflib.get_close_matches(word, [option for option in own if option != word], 1, 0.6):
                return f"; did you mean {near[0]}?"
            if takers := [name for name, parser in self.subcommands().items() if word in parser._option_string_actions]:
                return f"; {word} is an option of {', '.join(takers)}"
        return ""

    def closest_choice(self, message: str) -> str:
        """ "; did you mean ...?" for a misspelt command or value; else nothing."""
        if "invalid choice: " in message:
            words, known = (
                [message.split("invalid choice: ")[1].split("'")[1]],
                message.split("choose from ")[-1].strip(")").split(", "),
            )
        else:
            return ""
        near = [m for word in words for m in difflib.get_close_matches(word, [k.strip("'") for k in known], 1, 0.5)]
        return f"; did you mean {near[0]}?" if near else ""


def build_parser(command: str | None = None) -> Parser:
    """The parser of all commands.

    Args:
        command: the command whose options are needed; those of the others are not read, and their modules not imported. "": of no
            command. None: of all.
    """
    parser = Parser(prog="sonovid", description="Sounding video: joint generation of a video and its sound.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"sonovid {sonovid.__version__}")
    parser.add_argument("--debug", action="store_true", help="print the traceback of an error")
    subcommands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for module, lines in COMMANDS.items():
        if command is None or command in lines:
            importlib.import_module(f"sonovid.cli.{module}").add_parser(subcommands)
            continue
        for name in lines:
            subcommands.add_parser(name, allow_abbrev=False)
    return parser


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Parse the arguments of the program.

    Raises:
        ValueError: arguments that no command takes.
    """
    command = next((word for word in words if not word.startswith("-")), "")
    try:
        return build_parser(command).parse_args(words)
    except ValueError:
        # The parser of all commands knows which of them takes an option.
        pass
    return build_parser().parse_args(words)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The arguments without the program's name; None: those of the process.

    Returns:
        The exit status: 0 for success, 2 for an error that the user can fix, 1 for a bug, 130 after an interrupt, and 75 for a
        training that SIGTERM stopped and that resume=latest continues.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in given or bool(os.environ.get("SONOVID_TRACEBACK"))
    try:
        args = parse([word for word in given if word != "--debug"])
        if args.command is None:
            build_parser("").print_help()
            return 0
        args.run(args)
        return 0
    except KeyboardInterrupt:
        print("sonovid: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of stdout is gone, as after `| head`. The interpreter must not flush the rest at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            traceback.print_exc()
        code = getattr(error, "exit_code", None)
        expected = isinstance(error, ValueError | OSError) or code is not None
        line = " ".join(str(error).split()) or type(error).__name__
        if not expected:
            line = f"unexpected {type(error).__name__}: {line}; run again with --debug for the traceback"
        print(f"sonovid: error: {line}", file=sys.stderr)
        return code or (2 if expected else 1)


if __name__ == "__main__":
    raise SystemExit(main())

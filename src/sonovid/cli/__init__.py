"""The command line: one file per command, with its options and what it does."""

from sonovid.cli.command_line import build_parser, main

__all__ = ["build_parser", "main"]

"""The command line: one module per command, with its options and its implementation."""

from sonovid.cli.command_line import build_parser, main

__all__ = ["build_parser", "main"]

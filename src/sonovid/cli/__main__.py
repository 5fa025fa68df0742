"""python -m sonovid.cli: the command line."""

from sonovid.cli.command_line import main

if __name__ == "__main__":
    raise SystemExit(main())

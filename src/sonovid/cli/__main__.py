"""Entry point of python -m sonovid.cli."""

from sonovid.cli.command_line import main

if __name__ == "__main__":
    raise SystemExit(main())

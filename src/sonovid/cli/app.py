"""sonovid app: a page and an HTTP API on this machine."""

import argparse
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

from sonovid.cli.generate import seconds, whole

DESCRIPTION = """\
Serve a page and an HTTP API: words, a video or a sound in, a sounding video out. Jobs wait in one queue, before one worker per
device. The API is documented at /docs. Needs pip install 'sonovid[app]'.

  sonovid app                                             http://127.0.0.1:7860
  sonovid app --model run/model --model shipped           several models; the first is the default
  SONOVID_TOKEN=... sonovid app --host 0.0.0.0            for other machines; a token is needed then
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "app",
        help="serve a page and an HTTP API",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("--host", default="127.0.0.1", metavar="HOST", help="default: 127.0.0.1, this machine alone")
    parser.add_argument("--port", type=int, default=7860, metavar="PORT", help="default: 7860")
    parser.add_argument("--token-file", metavar="FILE", help="the bearer token; default: $SONOVID_TOKEN, or none")
    what = parser.add_argument_group("what is offered")
    what.add_argument("--model", action="append", metavar="DIR_OR_ID", help="may be repeated; default: the packaged model")
    what.add_argument(
        "--device", action="append", metavar="NAME", help="may be repeated, one worker for each; default: a GPU, or cpu"
    )
    what.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32", help="of the networks")
    what.add_argument("--table", metavar="JSON", help="what evaluate --json or compare --json wrote, to show on the page")
    kept = parser.add_argument_group("what is kept")
    kept.add_argument("--folder", metavar="DIR", help="jobs and files; default: $SONOVID_APP or the user's cache folder")
    kept.add_argument("--max-folder", type=size_in_bytes, default=4 * 2**30, metavar="SIZE", help="of finished jobs; default: 4G")
    kept.add_argument("--max-age", type=seconds, default=Fraction(7), metavar="DAYS", help="of finished jobs; default: 7")
    asked = parser.add_argument_group("what may be asked")
    asked.add_argument("--max-queue", type=whole, default=32, metavar="N", help="jobs that wait; default: 32")
    asked.add_argument(
        "--max-upload", type=size_in_bytes, default=256 * 2**20, metavar="SIZE", help="of a request; default: 256M"
    )
    asked.add_argument("--max-seconds", type=seconds, default=Fraction(60), metavar="S", help="of a clip; default: 60")
    asked.add_argument("--max-pixels", type=whole, default=4096 * 2304, metavar="N", help="of a picture; default: 9437184")


def size_in_bytes(text: str) -> int:
    """A number of bytes: 1000000, 512K, 256M, 4G."""
    factor = {"K": 2**10, "M": 2**20, "G": 2**30}.get(text[-1:].upper(), 1)
    number = text[:-1] if factor > 1 else text
    if not number.isdecimal() or int(number) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 256M or 4G")
    return int(number) * factor


def settings_of(args: argparse.Namespace) -> Any:
    """The server's settings.

    Raises:
        ValueError: a device, a token or a table that cannot be used, or a host that others can reach without a token.
    """
    from sonovid.app.settings import SHIPPED, Settings, default_folder
    from sonovid.cli.device import usable

    if args.table is not None and not Path(args.table).is_file():
        raise ValueError(f"--table {args.table}: no such file")
    return Settings(
        folder=Path(args.folder) if args.folder else default_folder(),
        models=tuple(dict.fromkeys(args.model or [SHIPPED])),
        devices=tuple(dict.fromkeys(usable(name) for name in (args.device or [None]))),
        dtype=args.dtype,
        host=args.host,
        port=args.port,
        token=token_of(args.token_file),
        max_queue=args.max_queue,
        max_upload=args.max_upload,
        max_seconds=args.max_seconds,
        max_pixels=args.max_pixels,
        max_folder=args.max_folder,
        max_age=int(args.max_age * 24 * 3600),
        table=None if args.table is None else Path(args.table),
    )


def token_of(file: str | None) -> str | None:
    """The token of a file, or of the environment.

    Raises:
        ValueError: the file is empty or cannot be read.
    """
    if file is None:
        return os.environ.get("SONOVID_TOKEN") or None
    token = Path(file).read_text().strip()
    if not token:
        raise ValueError(f"--token-file {file}: it is empty")
    return token


def run(args: argparse.Namespace) -> None:
    """Serve until interrupted."""
    import importlib.util

    missing = [name for name in ("gradio", "fastapi", "fastapi_offline", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(f"sonovid app needs {', '.join(missing)}: pip install 'sonovid[app]'")
    # Threads that wait by spinning take the core from those that work.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    settings = settings_of(args)
    from sonovid.app.server import bound, create_app, serve

    with bound(settings) as listening:
        app = create_app(settings)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        port = listening.getsockname()[1]
        print(f"http://{host}:{port}  (API: /docs; files: {settings.folder}; Ctrl-C stops)", flush=True)
        serve(app, listening)

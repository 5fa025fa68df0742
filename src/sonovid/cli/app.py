"""sonovid app: a web page and an HTTP API."""

import argparse
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

from sonovid.cli.argument_types import byte_size, positive_int, positive_seconds

DESCRIPTION = """\
Serve a web page and an HTTP API that generate sounding video from a prompt, a video or a sound. Jobs wait in one queue; each
device has one worker. The API is documented at /docs. Needs pip install 'sonovid[app]'.

  sonovid app                                             http://127.0.0.1:7860
  sonovid app --model run/model --model packaged          several models; the first is the default
  SONOVID_TOKEN=... sonovid app --host 0.0.0.0            reachable from other machines, which needs a token
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "app",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "--host", default="127.0.0.1", metavar="HOST", help="address to listen on; default: 127.0.0.1, for this machine only"
    )
    parser.add_argument(
        "--port", type=int, default=7860, metavar="PORT", help="port to listen on, 0 for any free one; default: 7860"
    )
    parser.add_argument(
        "--token-file", metavar="FILE", help="file with the bearer token that requests need; default: $SONOVID_TOKEN, or no token"
    )
    models = parser.add_argument_group("models and devices")
    models.add_argument(
        "--model",
        action="append",
        metavar="DIR_OR_ID",
        help="model folder or Hub repository to offer, may be repeated; default: the packaged model",
    )
    models.add_argument(
        "--device",
        action="append",
        metavar="NAME",
        help="device of a worker, may be repeated for several workers; default: a GPU if available, else cpu",
    )
    models.add_argument(
        "--dtype",
        choices=("auto", "float32", "bfloat16", "float16"),
        default="auto",
        help="dtype of the networks; default: auto, bfloat16 if the devices support it and float32 otherwise",
    )
    models.add_argument(
        "--table", metavar="JSON", help="results to show on the page, written by evaluate --json, compare --json or benchmark"
    )
    storage = parser.add_argument_group("storage")
    storage.add_argument(
        "--folder",
        metavar="DIR",
        help="folder of jobs and files; default: $SONOVID_APP, or sonovid/app in the user's cache folder",
    )
    storage.add_argument(
        "--max-folder",
        type=byte_size,
        default=4 * 2**30,
        metavar="SIZE",
        help="size above which the oldest finished jobs are removed, such as 4G; default: 4G",
    )
    storage.add_argument(
        "--max-age",
        type=positive_seconds,
        default=Fraction(7),
        metavar="DAYS",
        help="age in days after which finished jobs are removed; default: 7",
    )
    _add_limits(parser)


def _add_limits(parser: Any) -> None:
    limits = parser.add_argument_group("limits")
    limits.add_argument(
        "--max-queue",
        type=positive_int,
        default=32,
        metavar="N",
        help="number of waiting jobs above which requests are rejected; default: 32",
    )
    limits.add_argument(
        "--max-upload",
        type=byte_size,
        default=256 * 2**20,
        metavar="SIZE",
        help="largest request body, such as 256M; default: 256M",
    )
    limits.add_argument(
        "--max-seconds",
        type=positive_seconds,
        default=Fraction(60),
        metavar="S",
        help="longest clip and longest upload in seconds; default: 60",
    )
    limits.add_argument(
        "--max-pixels",
        type=positive_int,
        default=4096 * 2304,
        metavar="N",
        help="largest frame of an upload in pixels; default: 9437184 (4096x2304)",
    )


def parse_settings(args: argparse.Namespace) -> Any:
    """The server's settings from the command's options.

    Raises:
        ValueError: an unusable device, token or table, or a host that others can reach without a token.
    """
    from sonovid.app.settings import PACKAGED_MODEL, Settings, default_folder
    from sonovid.cli.device import resolve_device, resolve_dtype

    if args.table is not None and not Path(args.table).is_file():
        raise ValueError(f"--table {args.table}: no such file")
    devices = tuple(dict.fromkeys(resolve_device(name) for name in (args.device or [None])))
    # One dtype for all workers, so that a job does not depend on the worker that runs it.
    dtypes = {str(resolve_dtype(args.dtype, device)).removeprefix("torch.") for device in devices}
    return Settings(
        folder=Path(args.folder) if args.folder else default_folder(),
        models=tuple(dict.fromkeys(args.model or [PACKAGED_MODEL])),
        devices=devices,
        dtype=dtypes.pop() if len(dtypes) == 1 else "float32",
        host=args.host,
        port=args.port,
        token=read_token(args.token_file),
        max_queue=args.max_queue,
        max_upload=args.max_upload,
        max_seconds=args.max_seconds,
        max_pixels=args.max_pixels,
        max_folder=args.max_folder,
        max_age=int(args.max_age * 24 * 3600),
        table=None if args.table is None else Path(args.table),
    )


def read_token(file: str | None) -> str | None:
    """The bearer token from a file or, without one, from $SONOVID_TOKEN. None if there is none.

    Raises:
        ValueError: the file is empty.
        OSError: the file cannot be read.
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
    settings = parse_settings(args)
    from sonovid.app.server import bind_socket, create_app, serve

    with bind_socket(settings) as listening:
        app = create_app(settings)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        port = listening.getsockname()[1]
        print(f"http://{host}:{port}  (API: /docs; files: {settings.folder}; Ctrl-C stops)", flush=True)
        serve(app, listening)

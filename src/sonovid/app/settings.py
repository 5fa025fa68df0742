"""Settings of the server: address, storage and limits."""

import ipaddress
import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from sonovid.pipelines import packaged

PACKAGED_MODEL = packaged.NAME
MIN_TOKEN = 16


def default_folder() -> Path:
    """$SONOVID_APP, or sonovid/app in the user's cache folder."""
    if chosen := os.environ.get("SONOVID_APP"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sonovid" / "app"


def is_loopback(host: str) -> bool:
    """Whether a server that listens on `host` is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the server.

    Args:
        folder: Folder of jobs, uploads and finished files. Nothing outside it is written.
        models: Model folders or Hub repositories, the default first.
        devices: One worker runs on each.
        dtype: Dtype of the networks.
        host: Address to listen on.
        port: Port to listen on.
        token: Bearer token; required if others can reach the host.
        max_queue: Waiting jobs above which requests are rejected.
        max_upload: Bytes of one request.
        max_seconds: Duration of a clip and of an upload, in seconds.
        max_pixels: Height x width of an uploaded frame.
        max_steps: Sampling steps of one job.
        max_clips: Clips of one job.
        max_folder: Bytes of finished jobs, above which the oldest are removed.
        max_age: Age in seconds at which a finished job is removed.
        max_measured: Files in one evaluation on the page.
        table: Results to show on the page, written by `sonovid evaluate --json` or `sonovid compare --json`.
    """

    folder: Path
    models: tuple[str, ...] = (PACKAGED_MODEL,)
    devices: tuple[str, ...] = ("cpu",)
    dtype: str = "float32"
    host: str = "127.0.0.1"
    port: int = 7860
    token: str | None = None
    max_queue: int = 32
    max_upload: int = 256 * 2**20
    max_seconds: Fraction = Fraction(60)
    max_pixels: int = 4096 * 2304
    max_steps: int = 1000
    max_clips: int = 8
    max_folder: int = 4 * 2**30
    max_age: int = 7 * 24 * 3600
    max_measured: int = 200
    table: Path | None = None

    def __post_init__(self) -> None:
        if not self.models or not self.devices:
            raise ValueError("a server needs at least one model and one device")
        if not 0 <= self.port <= 65535:
            raise ValueError(f"--port {self.port}: expected a number from 0 to 65535")
        for name in ("max_queue", "max_upload", "max_pixels", "max_steps", "max_clips", "max_folder", "max_age", "max_seconds"):
            if getattr(self, name) <= 0:
                raise ValueError(f"--{name.replace('_', '-')} {getattr(self, name)}: expected a number above zero")
        if self.token is not None and len(self.token) < MIN_TOKEN:
            raise ValueError(f"the token has {len(self.token)} characters: expected at least {MIN_TOKEN}")
        if self.token is not None and not (self.token.isascii() and self.token.isprintable() and " " not in self.token):
            raise ValueError("the token contains spaces or characters that are not allowed in a header: use letters and digits")
        if self.token is None and not is_loopback(self.host):
            raise ValueError(
                f"--host {self.host}: others can reach this server, so it needs a token: set SONOVID_TOKEN or --token-file"
            )

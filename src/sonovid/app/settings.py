"""How the server is run: where it listens, what it keeps, and what a request may ask of it."""

import ipaddress
import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

PACKAGED_MODEL = "shipped"
MIN_TOKEN = 16


def default_folder() -> Path:
    """$SONOVID_APP, or sonovid/app in the user's cache folder."""
    if chosen := os.environ.get("SONOVID_APP"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sonovid" / "app"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of a server.

    folder: where jobs, uploads and finished files lie; nothing outside it is written. models: folders or repositories of the Hub;
        the first is the default. devices: one worker for each. dtype: of the networks.
    host, port: where the server listens. token: the bearer token; required where others can reach the host.
    max_queue: jobs that wait; more are refused. max_upload: bytes of one request. max_seconds: of a result or upload.
    max_pixels: height x width of an uploaded picture. max_steps, max_clips: sampling steps and clips of one job.
    max_folder: bytes of finished jobs; the oldest are removed. max_age: seconds after which a finished job is removed.
    max_measured: files in one measurement of the page.
    table: a file that `sonovid evaluate --json` or `sonovid compare --json` wrote, shown on the page.
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
            raise ValueError("a server needs one model and one device at least")
        if not 0 <= self.port <= 65535:
            raise ValueError(f"--port {self.port}: expected a number from 0 to 65535")
        for name in ("max_queue", "max_upload", "max_pixels", "max_steps", "max_clips", "max_folder", "max_age", "max_seconds"):
            if getattr(self, name) <= 0:
                raise ValueError(f"--{name.replace('_', '-')} {getattr(self, name)}: expected a number above zero")
        if self.token is not None and len(self.token) < MIN_TOKEN:
            raise ValueError(f"the token has {len(self.token)} characters: expected {MIN_TOKEN} at least")
        if self.token is not None and not (self.token.isascii() and self.token.isprintable() and " " not in self.token):
            raise ValueError("the token holds spaces or characters that a header cannot carry: use letters and digits")
        if self.token is None and not is_loopback(self.host):
            raise ValueError(
                f"--host {self.host}: others can reach this server, so it needs a token: set SONOVID_TOKEN or --token-file"
            )

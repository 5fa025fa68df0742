"""Load on `sonovid app` within one machine: 50 clients, 200 jobs, a bounded queue.

Asked: is anything lost, does memory grow, how soon is the queue's answer there?

    python -m benchmarks app.load                            # a tiny untrained model: the server, not the network, is measured
    python -m benchmarks app.load --model packaged --jobs 20 --steps 4

The server is a process of its own on a free port of the loopback; the clients are coroutines of this one. A client that is told
429 waits as long as the server says and asks again. Needs pip install 'sonovid[app]' httpx. Memory is read from /proc.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import httpx
import numpy as np


@dataclass
class Seen:
    """What the clients saw. took: seconds of each answer by route. made: bytes of each finished file by job."""

    took: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    made: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    memory: list[tuple[int, float]] = field(default_factory=list)


def tiny(folder: Path) -> Path:
    """An untrained pipeline of 16x16 pictures, 8 frames, 8 kHz, saved."""
    import torch

    from sonovid.codecs.audio import MelAutoencoder
    from sonovid.codecs.mel import LogMel
    from sonovid.codecs.spectrogram import SpectrogramCodec
    from sonovid.codecs.text import HashedText
    from sonovid.codecs.video import FrameAutoencoder
    from sonovid.codecs.vocoder import SpectralVocoder
    from sonovid.core.geometry import Geometry
    from sonovid.models.uniform.transformer import UniForm
    from sonovid.pipelines.pipeline import SoundingVideoPipeline

    torch.random.default_generator.manual_seed(0)
    video = FrameAutoencoder(latent_channels=4, patch=2, widths=(8,), blocks=1)
    log_mel = LogMel(sample_rate=8000, bins=16, n_fft=256, window=256, hop=125, high=4000.0)
    vocoder = SpectralVocoder(bins=16, n_fft=256, hop=125, width=16, depth=1)
    audio = SpectrogramCodec(MelAutoencoder(bins=16, latent_channels=4, width=16, blocks=1), vocoder, log_mel)
    denoiser = UniForm(depth=1, width=16, heads=2, patch_size=(2, 2, 2), video=(4, 8, 8), audio=(4, 1, 2), text_width=32)
    geometry = Geometry(8, Fraction(8), 16, 16, 8000)
    pipe = SoundingVideoPipeline(denoiser, video, audio, HashedText(width=32), geometry=geometry)
    pipe.save_pretrained(folder / "tiny")
    return folder / "tiny"


@contextlib.contextmanager
def server(model: str, folder: Path, max_queue: int):
    """A running server: its address and its process number."""
    command = [sys.executable, "-m", "sonovid.cli", "app", "--port", "0", "--folder", str(folder), "--model", model]
    command += ["--max-queue", str(max_queue), "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.match(r"http://\S+", line)
        if found is None:
            raise SystemExit("the server did not start")
        yield found.group(), process.pid
    finally:
        process.terminate()
        process.wait(30)


def resident(pid: int) -> float:
    """MiB of memory that a process holds."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", text).group(1)) / 1024


async def timed(seen: Seen, route: str, call) -> httpx.Response:
    began = time.perf_counter()
    answer = await call
    seen.took[route].append(time.perf_counter() - began)
    return answer


async def one_job(client: httpx.AsyncClient, seen: Seen, seed: int, steps: int) -> None:
    """Ask for a clip until it is accepted, wait for it, fetch it."""
    ask = {"prompt": "a stick hits a can", "seed": seed, "num_inference_steps": steps}
    while True:
        answer = await timed(seen, "POST", client.post("/v1/videos", json=ask))
        if answer.status_code == 200:
            break
        if answer.status_code != 429:
            seen.failed.append(answer.text)
            return
        seen.took["POST, 429"].append(seen.took["POST"].pop())
        await asyncio.sleep(int(answer.headers["retry-after"]))
    job = answer.json()["id"]
    while True:
        told = (await timed(seen, "GET status", client.get(f"/v1/videos/{job}"))).json()
        if told.get("status") in ("completed", "failed", None):
            break
        await asyncio.sleep(1)
    if told.get("status") != "completed":
        seen.failed.append(json.dumps(told))
        return
    content = await timed(seen, "GET content", client.get(f"/v1/videos/{job}/content"))
    if content.status_code == 200 and content.content[4:8] == b"ftyp":
        seen.made[job] = len(content.content)
    else:
        seen.failed.append(content.text[:200])


async def load(url: str, pid: int, clients: int, jobs: int, steps: int) -> Seen:
    """All clients at once, each with the next job that nobody has taken."""
    seen, seeds = Seen(), iter(range(jobs))

    async def work(client: httpx.AsyncClient) -> None:
        for seed in seeds:
            await one_job(client, seen, seed, steps)

    async def watch() -> None:
        while True:
            seen.memory.append((len(seen.made), resident(pid)))
            await asyncio.sleep(1)

    async with contextlib.AsyncExitStack() as stack:
        # Made first, and without the system's certificates: reading them takes longer than a request and blocks all clients.
        made = [httpx.AsyncClient(base_url=url, timeout=120, verify=False) for _ in range(clients)]
        for client in made:
            await stack.enter_async_context(client)
        watcher = asyncio.create_task(watch())
        await asyncio.gather(*map(work, made))
        watcher.cancel()
    seen.memory.append((len(seen.made), resident(pid)))
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        listed = set()
        after = None
        while True:
            page = (await client.get("/v1/videos", params={"limit": 100} | ({"after": after} if after else {}))).json()
            listed |= {one["id"] for one in page["data"] if one["status"] == "completed"}
            after = page["last_id"]
            if not page["has_more"]:
                break
    if lost := set(seen.made) - listed:
        seen.failed.append(f"not listed any more: {sorted(lost)}")
    return seen


def report(seen: Seen, jobs: int, seconds: float) -> bool:
    """Print the figures; whether all is as it should be."""
    print(f"{len(seen.made)} of {jobs} jobs made and fetched in {seconds:.0f} s, {len(seen.failed)} failed")
    for line in seen.failed[:3]:
        print(f"  {line}")
    for route, took in sorted(seen.took.items()):
        p50, p95 = np.percentile(took, [50, 95]) * 1000
        print(f"{route:12} {len(took):5} answers, median {p50:6.1f} ms, p95 {p95:6.1f} ms, longest {max(took) * 1000:6.1f} ms")
    quarter = [mib for made, mib in seen.memory if made >= jobs // 4] or [seen.memory[-1][1]]
    first, last = seen.memory[0][1], seen.memory[-1][1]
    print(f"memory: {first:.0f} MiB at first, {quarter[0]:.0f} after a quarter of the jobs, {last:.0f} at the end")
    queued = [*seen.took["POST"], *seen.took["POST, 429"]]
    return len(seen.made) == jobs and not seen.failed and float(np.percentile(queued, 95)) < 0.2


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--max-queue", type=int, default=32)
    parser.add_argument("--model", help="default: a tiny untrained one")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        model = args.model or str(tiny(Path(place)))
        with server(model, Path(place) / "server", args.max_queue) as (url, pid):
            began = time.perf_counter()
            seen = asyncio.run(load(url, pid, args.clients, args.jobs, args.steps))
            return 0 if report(seen, args.jobs, time.perf_counter() - began) else 1


if __name__ == "__main__":
    raise SystemExit(main())

"""From a manifest to the first batch: CPU seconds of each step at several sizes, and the exponent of its growth.

    python -m benchmarks data.startup                       # 1e4, 1e5 and 1e6 clips
    python -m benchmarks data.startup --sizes 1000,10000    # smaller

The files are hard links to copies of one clip, each with a caption of its own. Results of probing and latents are laid down
beforehand, as an earlier start leaves them, so what is timed is a start that finds everything done. An exponent of 1 is linear.
"index" is the memory of entries, windows and the index of the latents, and "memory" the most that the process has held; each
size runs in a process of its own.
"""

import argparse
import gc
import json
import math
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

from benchmarks import command
from sonovid.core.av import AV
from sonovid.core.geometry import Geometry
from sonovid.data import clips, latents, manifest, probes

GEOMETRY = Geometry(4, Fraction(8), 16, 16, 16000)
CODEC = "no codec"
# File systems limit the links of one file; ext4 allows 65,000.
MAX_LINKS = 50_000


def lay_out(root: Path, count: int) -> None:
    """Files, a manifest, results of probing and a store of latents, as an earlier start left them."""
    clips.write_scenes(root / "one", "hits", 1, 0, GEOMETRY, quiet=True)
    clip = next((root / "one").glob("*.mp4"))
    with open(root / "manifest.jsonl", "w") as file:
        for i in range(count):
            place = root / "clips" / f"{i // 1000:04d}" / f"{i:07d}.mp4"
            if i % MAX_LINKS == 0:
                source = shutil.copy2(clip, root / "one" / f"copy-{i}.mp4")
            if i % 1000 == 0:
                place.parent.mkdir(parents=True)
            os.link(source, place)
            row = {"path": str(place.relative_to(root)), "caption": f"stick number {i} hits a drum", "label": f"class {i % 300}"}
            file.write(json.dumps(row) + "\n")
    status = os.stat(clip)
    with open(root / "manifest.jsonl") as file:
        paths = [str(root / json.loads(line)["path"]) for line in file]
    (root / "probes").mkdir()
    known = (json.dumps([path, status.st_size, status.st_mtime_ns, 0.5, True, True]) + "\n" for path in paths)
    (root / "probes" / "all.jsonl").write_text("".join(known))
    windows = clips_of(root)
    store = latents.LatentStore(root, GEOMETRY, CODEC)
    made = AV(torch.zeros(8, 2, 2, 2, dtype=torch.half), torch.zeros(16, 4, 4, dtype=torch.half))
    store.write(store.plan(windows), lambda asked: ((latents.clip_info(window, GEOMETRY), made) for window in asked))


def clips_of(root: Path) -> list[clips.Window]:
    with probes.cached_in(root / "probes"):
        return clips.find_windows(manifest.read(root / "manifest.jsonl"), GEOMETRY)


def resident() -> float:
    """Memory of this process in GB, after what is no longer used is returned."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e9


def measure(root: Path) -> dict[str, float]:
    """CPU seconds of each step, and the process's most memory in GB."""
    from sonovid.codecs.text import HashedText
    from sonovid.recipes.latent_data import CaptionEmbeddings, find_classes
    from sonovid.training.batches import SampleOrder

    seconds: dict[str, float] = {}

    def timed(name: str, step: Callable[[], Any]) -> Any:
        before = time.process_time()
        found = step()
        seconds[name] = time.process_time() - before
        return found

    before = resident()
    with timed("kept probes read", lambda: probes.cached_in(root / "probes")):
        entries = timed("manifest read", lambda: manifest.read(root / "manifest.jsonl"))
        training, held_out = timed("split", lambda: manifest.split(entries, 0.03))
        windows = timed("windows", lambda: [clips.find_windows(part, GEOMETRY) for part in (training, held_out)])
    store = timed("index read", lambda: latents.LatentStore(root, GEOMETRY, CODEC))
    missing = timed("plan", lambda: [chunk for part in windows for chunk in store.plan(part)])
    assert not missing, f"{sum(map(len, missing))} clips are not in the store"
    cache = timed("select", lambda: store.select(windows[0]))
    index = resident() - before
    timed("statistics", lambda: cache.statistics)
    timed("classes", lambda: find_classes(cache))
    timed("captions", lambda: CaptionEmbeddings(HashedText(32, 8), [row["caption"] for row in cache.rows]))
    order = timed("order of an epoch", lambda: SampleOrder(len(cache), 0)(0, 32))
    timed("first batch", lambda: (cache.batch(order), [cache.rows[i] for i in order]))
    seconds["all"] = sum(seconds.values())
    seconds["index, GB"] = index
    # Kilobytes on Linux.
    seconds["memory, GB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="10000,100000,1000000")
    parser.add_argument("--folder", help="where the files are laid out; default: the system's folder for such")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--lay-out", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.lay_out:
        lay_out(Path(options.lay_out[0]), int(options.lay_out[1]))
        return
    if options.one:
        print(json.dumps(measure(options.one)))
        return
    sizes = [int(size) for size in options.sizes.split(",")]
    found = []
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            subprocess.run(
                [*command("data.startup"), "--lay-out", folder, str(size)],
                check=True,
                stderr=subprocess.DEVNULL,
            )
            ran = subprocess.run([*command("data.startup"), "--one", folder], check=True, capture_output=True, text=True)
            found.append(json.loads(ran.stdout.splitlines()[-1]))
    print(f"{'CPU seconds':20}" + "".join(f"{size:>12,}" for size in sizes) + "    exponent")
    for name in found[0]:
        values = [one[name] for one in found]
        # What takes less than a hundredth of a second says nothing of growth.
        growth = len(values) > 1 and min(values) > 0.01
        exponent = math.log(values[-1] / values[-2]) / math.log(sizes[-1] / sizes[-2]) if growth else math.nan
        print(f"{name:20}" + "".join(f"{value:12.3f}" for value in values) + f"{exponent:12.2f}")


if __name__ == "__main__":
    main()

"""How much worse CMMD's network denoises a stream beside a partner that is not its own: what the contrastive loss asks for.

    python -m benchmarks cmmd.fusion_gap --model NAME=DIR [--model NAME=DIR ...] [--count 64] [--times 0.3 0.5 0.7 0.9]
        [--json FILE] [--compare NAME NAME]

No sampling: the loss of v of each stream at one time for both, beside its own partner, beside its partner moved by 300 ms
(forward and backward in turns, cut from a longer crop), and beside another clip's of the same world. The gap is the loss beside
the wrong partner over that beside the true one, less 1, in per cent; intervals are of 95 %, from a bootstrap over clips, and
models are compared clip by clip, under the same noise. Scenes that no training has seen.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.cmmd.negatives import scene_crops
from sonovid.core.av import AV
from sonovid.diffusion.contrastive import gather_windows
from sonovid.diffusion.schedule import add_noise, training_target
from sonovid.pipelines.pipeline import SoundingVideoPipeline
from sonovid.recipes.cmmd.crops import find_window

MARGIN, MOVED, DRAWS, BATCH = 4, 0.3, 2000, 16
WRONG = ("moved", "another's")


@torch.no_grad()
def losses(pipe: SoundingVideoPipeline, crop: AV, times: list[float]) -> dict[str, np.ndarray]:
    """Mean squared errors [n] by "stream, partner, time"."""
    inner = find_window(pipe.geometry, MARGIN, AV(pipe.video_codec, pipe.audio_codec))
    n, own = len(crop.video), inner(crop)
    signs = torch.tensor([1, -1]).repeat(n)[:n]
    steps = inner.rate.map(lambda rate: round(MOVED * float(rate)))
    partners = {
        "true": own,
        "moved": crop.map(lambda x, s, k, m: gather_windows(x, s + signs * m, k), inner.start, inner.length, steps),
        # Worlds take turns.
        "another's": own.map(lambda x: x.roll(2, 0)),
    }
    generator = torch.Generator().manual_seed(0)
    eps = own.map(lambda x: torch.randn(x.shape, generator=generator))
    found: dict[str, list[Tensor]] = {}
    for time in times:
        for first in range(0, n, BATCH):
            here = slice(first, first + BATCH)
            t = torch.full((len(own.video[here]),), time)
            for name, other in partners.items():
                pairs = (
                    {"both": own}
                    if name == "true"
                    else {"video": AV(own.video, other.audio), "audio": AV(other.video, own.audio)}
                )
                for scored, pair in pairs.items():
                    x0 = pair.map(lambda x, h=here: x[h])
                    noise = eps.map(lambda x, h=here: x[h])
                    x = AV(*(add_noise(s, z, e, t) for s, z, e in zip(pipe.schedule, x0, noise, strict=True)))
                    with torch.autocast("cpu", torch.bfloat16):
                        made = pipe.denoiser(x, AV(t, t)).prediction
                    for i, stream in enumerate(AV._fields):
                        if scored in ("both", stream):
                            wanted = training_target(pipe.schedule[i], pipe.config.predict, x0[i], noise[i], t)
                            error = (made[i].float() - wanted).square().flatten(1).mean(1)
                            found.setdefault(f"{stream}, {name}, {time:g}", []).append(error)
    return {name: torch.cat(parts).numpy() for name, parts in found.items()}


def gap(one: dict[str, np.ndarray], stream: str, wrong: str, time: float, chosen: Any) -> float:
    """How much larger the loss is beside the wrong partner, in per cent."""
    true, other = (one[f"{stream}, {name}, {time:g}"][chosen].mean() for name in ("true", wrong))
    return float(100 * (other / true - 1))


def interval(values: Any, count: int) -> list[float]:
    """A value with its 95 % interval; values: of chosen clips."""
    rng = np.random.default_rng(0)
    low, high = np.percentile([values(rng.integers(0, count, count)) for _ in range(DRAWS)], [2.5, 97.5])
    return [values(slice(None)), float(low), float(high)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", required=True, metavar="NAME=DIR")
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--times", type=float, nargs="+", default=[0.3, 0.5, 0.7, 0.9])
    parser.add_argument("--compare", nargs=2, action="append", default=[], metavar="NAME")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    models, figures, crop = dict(word.split("=", 1) for word in options.model), {}, None
    made: dict[str, dict[str, np.ndarray]] = {}
    for name, folder in models.items():
        pipe = SoundingVideoPipeline.from_pretrained(folder)
        crop = crop or scene_crops(pipe, options.count)
        made[name] = losses(pipe, crop, options.times)
    places = [(stream, wrong, time) for stream in AV._fields for wrong in WRONG for time in options.times]
    for name, one in made.items():
        for stream, wrong, time in places:
            true = float(one[f"{stream}, true, {time:g}"].mean())
            value = interval(lambda c, o=one, p=(stream, wrong, time): gap(o, *p, c), options.count)
            figures[f"{name}: {stream} beside {wrong}, t {time:g}"] = [true, *value]
            told = f"loss {true:.4f}, gap {value[0]:6.2f} % [{value[1]:.2f}, {value[2]:.2f}]"
            print(f"{name:24s} {stream} beside {wrong:10s} t {time:g}: {told}", flush=True)
    for a, b in options.compare:
        for stream, wrong, time in places:
            value = interval(
                lambda c, a=a, b=b, p=(stream, wrong, time): gap(made[a], *p, c) - gap(made[b], *p, c), options.count
            )
            figures[f"{a} - {b}: {stream} beside {wrong}, t {time:g}"] = value
            print(
                f"{a} - {b}: {stream} beside {wrong}, t {time:g}: {value[0]:+.2f} [{value[1]:+.2f}, {value[2]:+.2f}]", flush=True
            )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()

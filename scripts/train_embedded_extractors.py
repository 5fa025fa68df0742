"""How the extractors inside the package were made: pictures, sounds and their offset, learnt on procedural scenes.

    python scripts/train_embedded_extractors.py render OUT        8,000 clips of 4 s of all five worlds, and 800 held out
    python scripts/train_embedded_extractors.py train OUT         the three networks at once, for so many minutes of one core
    python scripts/train_embedded_extractors.py assemble OUT      the weights into the package

scripts/measure_embedded_extractors.py gives their figures on the held-out scenes.
`train` begins while `render` is still at work, on the clips that are there, and goes on from its last checkpoint.
"""

import argparse
import json
import math
import time
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from safetensors.torch import save_file
from torch import Tensor, nn

from sonovid.core.geometry import Geometry
from sonovid.data.scenes import WORLDS, attributes, render
from sonovid.metrics.extractors.scene_networks import (
    FPS,
    REACH,
    SAMPLE_RATE,
    STEP_RATE,
    STEP_WIDTH,
    WIDTH,
    SceneAudio,
    SceneSync,
    SceneVideo,
)

GEOMETRY = Geometry(4 * FPS, Fraction(FPS), 64, 64, SAMPLE_RATE)
SEEDS = {"train": range(0, 1600), "held_out": range(70_000_000, 70_000_160)}
# Features in training; those that are shipped are fewer, see `stage_assemble`.
WIDE = 128
FRAMES, PER_FRAME = 2 * FPS, SAMPLE_RATE // FPS
# What can be heard; colours and looks cannot.
HEARD = {"world", "material", "object", "style", "kind", "tempo", "floor", "balls"}
PICTURE_TIMES = ("in order", "frozen", "shuffled", "reversed")
SOUND_TIMES = ("in order", "with holes", "shuffled", "reversed")


def stage_render(out: Path) -> None:
    """Frames uint8 [n t h w 3] and waveforms int16 [n m], as files that can be mapped, and a line of JSON to each clip."""
    for name, seeds in SEEDS.items():
        count = len(seeds) * len(WORLDS)
        frames = np.lib.format.open_memmap(out / f"{name}.frames.npy", "w+", np.uint8, (count, GEOMETRY.num_frames, 64, 64, 3))
        audio = np.lib.format.open_memmap(out / f"{name}.audio.npy", "w+", np.int16, (count, GEOMETRY.num_samples))
        with (out / f"{name}.jsonl").open("w", buffering=1) as lines:
            for i in range(count):
                world, seed = list(WORLDS)[i % len(WORLDS)], seeds[i // len(WORLDS)]
                clip = render(world, seed, GEOMETRY)
                assert clip.frames is not None
                assert clip.waveform is not None
                frames[i], audio[i] = clip.frames, (clip.waveform[0] * 32767).round().astype(np.int16)
                record = {"world": world, "seed": seed, "label": clip.label, "events": [float(e) for e in clip.events]}
                lines.write(json.dumps(record | {"attributes": attributes(world, seed)}) + "\n")


class Clips:
    """What `render` has made so far."""

    def __init__(self, out: Path, name: str) -> None:
        self.path = out / f"{name}.jsonl"
        self.frames = np.load(out / f"{name}.frames.npy", mmap_mode="r")
        self.audio = np.load(out / f"{name}.audio.npy", mmap_mode="r")
        self.records: list[dict] = []
        self.look()

    def look(self) -> None:
        if len(self.records) < len(self.frames):
            lines = self.path.read_text().split("\n")[:-1]
            self.records += [json.loads(line) for line in lines[len(self.records) :]]

    def cut(self, i: int, frame: int, offset: float, num_frames: int = FRAMES) -> tuple[np.ndarray, np.ndarray]:
        """A window from `frame` on, its sound late by `offset` seconds; silence where the clip has no sound."""
        start = frame * PER_FRAME - round(offset * SAMPLE_RATE)
        count = num_frames * PER_FRAME
        sound = np.zeros(count, np.float32)
        low, high = max(start, 0), min(start + count, self.audio.shape[1])
        if high > low:
            sound[low - start : high - start] = self.audio[i, low:high].astype(np.float32) / 32767
        return np.asarray(self.frames[i, frame : frame + num_frames]), sound


# What is told of a clip ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """One attribute of one world ("" for the world itself) and its answers."""

    world: str
    key: str
    answers: tuple[str, ...]

    def answer(self, record: dict) -> int:
        """The index of the clip's own, -1 where the question is not asked."""
        if self.world and record["world"] != self.world:
            return -1
        return self.answers.index(record["attributes"][self.key])


def questions() -> list[Question]:
    asked = [Question("", "world", tuple(WORLDS))]
    for world in WORLDS:
        known = [attributes(world, seed) for seed in SEEDS["train"]]
        for key in [k for k in known[0] if k != "world"]:
            asked.append(Question(world, key, tuple(sorted({a[key] for a in known}))))
    return asked


class Heads(nn.Module):
    """What the features are asked in training, and only there: attributes, damage, and events at the steps."""

    def __init__(self, asked: list[Question], levels: int, times: int) -> None:
        super().__init__()
        # Without it the features of classes grow until nothing small can be read beside them, such as a blur.
        self.norm = nn.BatchNorm1d(WIDE, affine=False)
        self.attributes = nn.Linear(WIDE, sum(len(q.answers) for q in asked))
        self.levels = nn.Linear(WIDE, levels)
        self.times = nn.Linear(WIDE, times)
        self.events = nn.Linear(STEP_WIDTH, 1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of attributes, levels of damage, logits of the order of time."""
        x = F.gelu(self.norm(features))
        return self.attributes(x), self.levels(x), self.times(x)


class Networks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        asked = questions()
        self.asked = {"video": asked, "audio": [q for q in asked if q.key in HEARD]}
        self.video, self.audio, self.sync = SceneVideo(WIDE), SceneAudio(WIDE), SceneSync()
        self.heads = nn.ModuleDict({"video": Heads(self.asked["video"], 3, 4), "audio": Heads(self.asked["audio"], 3, 4)})


# Damage ----------------------------------------------------------------------------------------------------------------------


def chosen(n: int, share: float, generator: torch.Generator) -> list[int]:
    return torch.nonzero(torch.rand(n, generator=generator) < share)[:, 0].tolist()


def level(generator: torch.Generator) -> float:
    """In (0, 1], most of them low."""
    return float(torch.rand((), generator=generator)) ** 1.5


def cosines() -> Tensor:
    """The basis of the 8x8 cosine transform, [64 1 8 8]."""
    k, x = torch.arange(8.0)[:, None], torch.arange(8.0)[None]
    base = torch.cos(math.pi * (x + 0.5) * k / 8) * torch.where(k == 0, math.sqrt(1 / 8), 0.5)
    return torch.einsum("ax,by->abyx", base, base).reshape(64, 1, 8, 8)


def blurred(frames: Tensor, sigma: float) -> Tensor:
    """frames [t 3 h w] by a Gaussian of so many pixels."""
    radius = max(1, math.ceil(2.5 * sigma))
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(3, 1, -1)
    x = F.conv2d(F.pad(frames, (radius, radius, 0, 0), mode="replicate"), kernel[:, :, None], groups=3)
    return F.conv2d(F.pad(x, (0, 0, radius, radius), mode="replicate"), kernel[..., None], groups=3)


def blocky(frames: Tensor, step: float) -> Tensor:
    """Cosine coefficients of 8x8 blocks rounded to multiples of `step`, coarser for finer detail, as codecs do."""
    basis, t = cosines(), len(frames)
    k = torch.arange(8)
    steps = step * (1 + 0.5 * (k[:, None] + k[None])).reshape(1, 64, 1, 1)
    planes = rearrange(frames, "t c h w -> (t c) 1 h w")
    coefficients = torch.round(F.conv2d(planes, basis, stride=8) / steps) * steps
    return rearrange(F.conv_transpose2d(coefficients, basis, stride=8), "(t c) 1 h w -> t c h w", t=t)


def damaged_pictures(frames: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """frames [b t 3 h w] in [0, 1] -> changed frames, levels [b 3] of blur, noise and blocks, and times [b]."""
    n, t = frames.shape[:2]
    levels, times = torch.zeros(n, 3), torch.zeros(n, dtype=torch.long)

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    for i in chosen(n, 0.5, generator):
        frames[i] = frames[i].flip(-1)
    for i in chosen(n, 0.3, generator):  # another part of the picture
        size = 2 * round(uniform(27, 32))
        y, x = round(uniform(0, 64 - size)), round(uniform(0, 64 - size))
        frames[i] = F.interpolate(frames[i, ..., y : y + size, x : x + size], (64, 64), mode="bilinear", antialias=False)
    for i in chosen(n, 0.4, generator):  # another camera
        frames[i] = (frames[i] - 0.5) * uniform(0.85, 1.15) + 0.5 + uniform(-0.08, 0.08)
    for i in chosen(n, 0.3, generator):
        levels[i, 0] = level(generator)
        frames[i] = blurred(frames[i], 0.2 + 2.8 * float(levels[i, 0]))
    for i in chosen(n, 0.3, generator):
        levels[i, 1] = level(generator)
        frames[i] += 0.2 * float(levels[i, 1]) * torch.randn(frames[i].shape, generator=generator)
    for i in chosen(n, 0.3, generator):
        levels[i, 2] = level(generator)
        frames[i] = blocky(frames[i], 0.01 + 0.4 * float(levels[i, 2]))
    for i in chosen(n, 0.24, generator):
        times[i] = kind = int(torch.randint(1, 4, (), generator=generator))
        if kind == 1:
            hold = int(torch.randint(2, t + 1, (), generator=generator))
            order = torch.arange(t) // hold * hold
        else:
            order = torch.randperm(t, generator=generator) if kind == 2 else torch.arange(t - 1, -1, -1)
        frames[i] = frames[i, order].clone()
    return frames.clamp_(0, 1), levels, times


def smeared(sound: Tensor, by: float, generator: torch.Generator) -> Tensor:
    """Phases of the short-time spectrum moved at random, as poor vocoders do."""
    window = torch.hann_window(512)
    spectrum = torch.stft(sound, 512, 128, 512, window, return_complex=True)
    turn = by * math.pi * (2 * torch.rand(spectrum.shape, generator=generator) - 1)
    return torch.istft(spectrum * torch.polar(torch.ones_like(turn), turn), 512, 128, 512, window, length=len(sound))


def damaged_sound(sound: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """sound [b n] -> changed sound, levels [b 3] of noise, dullness and smearing, and times [b]."""
    n, count = sound.shape
    levels, times = torch.zeros(n, 3), torch.zeros(n, dtype=torch.long)

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    for i in chosen(n, 0.7, generator):
        sound[i] *= 10 ** (uniform(-12, 6) / 20)
    hz = torch.fft.rfftfreq(count, 1 / SAMPLE_RATE)
    for i in chosen(n, 0.4, generator):  # another room and another microphone
        curve = uniform(-5, 5) * torch.sin(math.pi * torch.log2(1 + hz / 100) * uniform(0.1, 0.5) + uniform(0, 6.3))
        sound[i] = torch.fft.irfft(torch.fft.rfft(sound[i]) * 10 ** (curve / 20), count)
    for i in chosen(n, 0.3, generator):
        # Silence at either end, alike for sounds in time and out of it: so that it gives nothing away.
        piece = int(uniform(0, 0.25) * count)
        if uniform(0, 1) < 0.5:
            sound[i, :piece] = 0
        else:
            sound[i, count - piece :] = 0
    for i in chosen(n, 0.24, generator):
        times[i] = kind = int(torch.randint(1, 4, (), generator=generator))
        if kind == 1:
            for _ in range(int(torch.randint(2, 7, (), generator=generator))):
                start = int(uniform(0, count))
                sound[i, start : start + int(uniform(0.03, 0.2) * SAMPLE_RATE)] = 0
        elif kind == 2:
            pieces = sound[i].reshape(-1, PER_FRAME)
            sound[i] = pieces[torch.randperm(len(pieces), generator=generator)].reshape(-1)
        else:
            sound[i] = sound[i].flip(0)
    for i in chosen(n, 0.2, generator):
        levels[i, 2] = level(generator)
        sound[i] = smeared(sound[i], float(levels[i, 2]), generator)
    for i in chosen(n, 0.25, generator):
        levels[i, 1] = level(generator)
        pole = 7000 * 2 ** (-4 * float(levels[i, 1]))
        sound[i] = torch.fft.irfft(torch.fft.rfft(sound[i]) / (1 + (hz / pole) ** 4), count)
    for i in chosen(n, 0.35, generator):
        levels[i, 0] = level(generator)
        sound[i] += 10 ** ((-66 + 50 * float(levels[i, 0])) / 20) * torch.randn(count, generator=generator)
    return sound.clamp_(-1, 1), levels, times


# Training --------------------------------------------------------------------------------------------------------------------


@dataclass
class Batch:
    frames: Tensor
    sound: Tensor
    offset: Tensor
    answers: dict[str, Tensor]
    levels: dict[str, Tensor]
    times: dict[str, Tensor]
    events: dict[str, Tensor]
    eventful: Tensor
    partner: Tensor


def bumps(events: list[float], start: float, steps: int) -> Tensor:
    """1 at the steps where something happens, less at their neighbours."""
    at = (torch.arange(steps) + 0.5) / STEP_RATE + start
    if not events:
        return torch.zeros(steps)
    return torch.exp(-0.5 * ((at[:, None] - torch.tensor(events)[None]) * STEP_RATE) ** 2).amax(1)


def partners(worlds: list[str], generator: torch.Generator) -> Tensor:
    """For each clip another one of the batch; of the same world for half of them, where there is one."""
    result = []
    for i, world in enumerate(worlds):
        same = [j for j, other in enumerate(worlds) if other == world and j != i]
        rest = [j for j in range(len(worlds)) if j != i]
        pool = same if same and float(torch.rand((), generator=generator)) < 0.6 else rest
        result.append(pool[int(torch.randint(len(pool), (), generator=generator))])
    return torch.tensor(result)


def batch(clips: Clips, networks: Networks, step: int, size: int) -> Batch:
    """The batch of one step, a function of the step alone once all clips are there."""
    generator = torch.Generator().manual_seed(1_000_003 + step)

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    num_frames = FRAMES if uniform(0, 1) < 0.8 else 12
    picked = torch.randint(len(clips.records), (size,), generator=generator).tolist()
    records = [clips.records[i] for i in picked]
    frames, sound, offsets, starts = [], [], [], []
    for i in picked:
        # One in seven is further off than can be told: unrelated.
        offset = uniform(-0.5, 0.5) if uniform(0, 1) < 0.86 else uniform(0.75, 1.3) * (1 if uniform(0, 1) < 0.5 else -1)
        start = 0 if uniform(0, 1) < 0.2 else round(uniform(0, GEOMETRY.num_frames - num_frames))
        pictures, wave = clips.cut(i, start, offset, num_frames)
        frames.append(torch.from_numpy(pictures.copy()))
        sound.append(torch.from_numpy(wave))
        offsets.append(offset)
        starts.append(start / FPS)
    pictures, picture_levels, picture_times = damaged_pictures(
        rearrange(torch.stack(frames), "b t h w c -> b t c h w").float().div_(255), generator
    )
    waves, sound_levels, sound_times = damaged_sound(torch.stack(sound), generator)
    steps = num_frames * STEP_RATE // FPS
    return Batch(
        pictures,
        waves,
        torch.tensor(offsets),
        {s: torch.tensor([[q.answer(r) for q in networks.asked[s]] for r in records]) for s in networks.asked},
        {"video": picture_levels, "audio": sound_levels},
        {"video": picture_times, "audio": sound_times},
        {
            "video": torch.stack([bumps(r["events"], s, steps) for r, s in zip(records, starts, strict=True)]),
            "audio": torch.stack([bumps(r["events"], s - o, steps) for r, s, o in zip(records, starts, offsets, strict=True)]),
        },
        torch.tensor([len(r["events"]) > 0 for r in records]),
        partners([r["world"] for r in records], generator),
    )


def soft_offsets(offset: Tensor) -> Tensor:
    """Seconds to probabilities of -16..16 steps and "unrelated": a bump of one step's width. [b 34]"""
    at = torch.arange(-REACH, REACH + 1) / STEP_RATE
    bump = torch.exp(-0.5 * ((offset[:, None] - at) * STEP_RATE) ** 2)
    near = (offset.abs() <= 0.52).float()[:, None]
    return torch.cat([near * bump / bump.sum(1, keepdim=True).clamp(min=1e-6), 1 - near], 1)


def losses(networks: Networks, it: Batch) -> dict[str, Tensor]:
    result, steps = {}, {}
    for stream, given in (("video", it.frames), ("audio", it.sound)):
        with torch.autocast("cpu", torch.bfloat16):
            features, series = getattr(networks, stream)(given)
        features, steps[stream] = features.float(), series.float()
        heads, asked = networks.heads[stream], networks.asked[stream]
        answers, start = it.answers[stream], 0
        logits, levels, times = heads(features)
        total = torch.zeros(())
        for k, q in enumerate(asked):
            part = logits[:, start : start + len(q.answers)]
            start += len(q.answers)
            if (answers[:, k] >= 0).any():
                one = F.cross_entropy(part, answers[:, k], ignore_index=-1)
                total = total + one * (1.0 if k == 0 else 0.1)
                if k == 0:
                    result[f"{stream} world"] = one.detach()
        result[f"{stream} attributes"] = total
        result[f"{stream} levels"] = 10 * F.mse_loss(levels, it.levels[stream])
        result[f"{stream} times"] = 0.5 * F.cross_entropy(times, it.times[stream])
        ordered = (it.times[stream] == 0) & it.eventful
        events = F.binary_cross_entropy_with_logits(
            heads.events(steps[stream])[..., 0], it.events[stream], pos_weight=torch.tensor(3.0), reduction="none"
        )
        result[f"{stream} events"] = (events.mean(1) * ordered).sum() / ordered.sum().clamp(min=1)
    ordered = (it.times["video"] == 0) & (it.times["audio"] <= 1)
    target = soft_offsets(it.offset)
    own = F.cross_entropy(networks.sync(steps["video"], steps["audio"]), target, reduction="none")
    other = F.cross_entropy(
        networks.sync(steps["video"], steps["audio"][it.partner]), torch.full(it.partner.shape, 2 * REACH + 1), reduction="none"
    )
    result["offset"] = (own * ordered).sum() / ordered.sum().clamp(min=1)
    result["partner"] = 0.5 * (other * ordered).sum() / ordered.sum().clamp(min=1)
    return result


def stage_train(out: Path, minutes: float, size: int) -> None:
    """Ends by the minutes of processor time, to which the cosine of the rate is stretched."""
    torch.manual_seed(0)
    networks, clips = Networks(), Clips(out, "train")
    optimizer = torch.optim.AdamW(networks.parameters(), 2e-3, weight_decay=0.02)
    step, spent, seen = 0, 0.0, {}
    kept = out / "training.pt"
    if kept.exists():
        state = torch.load(kept, weights_only=True)
        networks.load_state_dict(state["networks"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent = state["step"], state["spent"]
    began = time.process_time() - spent
    while (spent := time.process_time() - began) < 60 * minutes:
        progress = spent / (60 * minutes)
        rate = 2e-3 * min(1.0, (step + 1) / 100) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        found = losses(networks, batch(clips, networks, step, size))
        total = sum((v for v in found.values() if v.requires_grad), torch.zeros(()))
        optimizer.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(networks.parameters(), 5.0)
        optimizer.step()
        step += 1
        for name, value in found.items():
            seen.setdefault(name, []).append(float(value.detach()))
        if step % 50 == 0:
            line = {"step": step, "minutes": round(spent / 60, 2), "clips": len(clips.records), "rate": round(rate, 6)}
            line |= {name: round(float(np.mean(values)), 4) for name, values in seen.items()}
            with (out / "training.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
            seen = {}
            clips.look()
        if step % 200 == 0:
            save(networks, optimizer, step, spent, kept)
    save(networks, optimizer, step, spent, kept)


def save(networks: Networks, optimizer: torch.optim.Optimizer, step: int, spent: float, path: Path) -> None:
    state = {"networks": networks.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "spent": spent}
    torch.save(state, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


# Into the package ------------------------------------------------------------------------------------------------------------


def features(network: nn.Module, clips: Clips, stream: int, count: int) -> np.ndarray:
    """Features of the first window of some clips, undamaged, [n d] in float64."""
    rows = []
    with torch.inference_mode():
        for i in range(count):
            given = torch.from_numpy(clips.cut(i, 0, 0.0)[stream].copy())[None]
            given = rearrange(given, "1 t h w c -> 1 t c h w").float() / 255 if stream == 0 else given
            rows.append(network(given)[0][0].double().numpy())
    return np.stack(rows)


def condense(project: nn.Linear, rows: np.ndarray, width: int) -> nn.Linear:
    """The layer that gives `rows`, followed by their first principal components, evened out.

    The Fréchet distance hangs on the scale of every feature. What tells worlds apart is large in what a network learns and would
    be all that counts; at equal variances it would count for no more than the least of details. So the deviations are brought to
    their square roots, and all of them to a mean variance of one.
    """
    values, vectors = np.linalg.eigh(np.cov(rows.T))
    values, vectors = values[::-1][:width], vectors[:, ::-1][:, :width]
    share = torch.from_numpy(vectors * values**-0.25 / np.sqrt(np.sqrt(values).mean())).T
    made = nn.Linear(project.in_features, width)
    with torch.no_grad():
        made.weight.copy_(share @ project.weight.double())
        made.bias.copy_(share @ (project.bias.double() - torch.from_numpy(rows.mean(0))))
    return made


def stage_assemble(out: Path, folder: Path) -> None:
    """The three networks without their heads, convolutions in half precision."""
    networks, clips = Networks(), Clips(out, "train")
    state = torch.load(out / "training.pt", weights_only=True)
    networks.load_state_dict(state["networks"])
    networks.eval().requires_grad_(False)
    for stream, network in enumerate((networks.video, networks.audio)):
        rows = features(network, clips, stream, 1000)
        network.pooled.project = condense(network.pooled.project, rows, WIDTH)
    weights = {
        f"{name}.{key}": value.half() if value.ndim > 2 else value
        for name in ("video", "audio", "sync")
        for key, value in getattr(networks, name).state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    about = {
        "trained on": f"procedural scenes of sonovid: {', '.join(WORLDS)}; seeds 0-1599 of each",
        "steps": str(state["step"]),
        "minutes of one core": f"{state['spent'] / 60:.1f}",
        "seed": "0",
        "licence": "Apache-2.0",
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in weights.items()}, folder / "scenes.safetensors", metadata=about)
    print("SHA256 in metrics/extractors/embedded.py:", sha256((folder / "scenes.safetensors").read_bytes()).hexdigest())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=["render", "train", "assemble"])
    parser.add_argument("out", type=Path)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("src/sonovid/weights_metrics"), help="for assemble")
    parser.add_argument("--minutes", type=float, default=45.0, help="of processor time")
    parser.add_argument("--batch", type=int, default=32)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.stage == "render":
        stage_render(asked.out)
    elif asked.stage == "train":
        stage_train(asked.out, asked.minutes, asked.batch)
    else:
        stage_assemble(asked.out, asked.folder)


if __name__ == "__main__":
    main()

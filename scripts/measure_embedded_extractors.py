"""Figures of the embedded extractors on held-out scenes.

    python scripts/measure_embedded_extractors.py OUT [--part answers|timing|distances|files]

OUT is the folder of train_embedded_extractors.py. What comes out is printed and kept in OUT/figures.json. `timing`, `distances`
and `files` are of the packaged networks, `answers` of those in OUT with the heads they were trained with, which are not shipped.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from scipy.stats import rankdata
from torch import Tensor

from sonovid import media
from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry
from sonovid.data.scenes import render
from sonovid.metrics.extractors.embedded import SceneNetworks, packaged_networks, probabilities, timing
from sonovid.metrics.frechet import frechet
from sonovid.metrics.kernels import kad, kvd
from train_embedded_extractors import (
    FPS,
    FRAMES,
    PER_FRAME,
    SAMPLE_RATE,
    WORLDS,
    Clips,
    Networks,
    blocky,
    blurred,
    smeared,
)

SHIFTS = (-320, -160, -80, -40, 0, 40, 80, 160, 320)
Embedded = tuple[np.ndarray, np.ndarray]


def trained(out: Path) -> Networks:
    networks = Networks()
    networks.load_state_dict(torch.load(out / "training.pt", weights_only=True)["networks"])
    return networks.eval().requires_grad_(False)


def pictures(networks: Networks | SceneNetworks, frames: np.ndarray | Tensor) -> Embedded:
    """frames [n t h w 3] -> features [n d], steps [n k 64]."""
    rows = [networks.video(rearrange(torch.as_tensor(f), "t h w c -> 1 t c h w").float() / 255) for f in frames]
    return torch.cat([r[0] for r in rows]).numpy(), torch.cat([r[1] for r in rows]).numpy()


def sounds(networks: Networks | SceneNetworks, waves: np.ndarray | Tensor) -> Embedded:
    rows = [networks.audio(torch.as_tensor(w)[None]) for w in waves]
    return torch.cat([r[0] for r in rows]).numpy(), torch.cat([r[1] for r in rows]).numpy()


def answers(networks: Networks, clips: Clips, start: int = 0) -> dict:
    """Shares of right answers, with that of the commonest answer, by stream and question."""
    cut = [clips.cut(i, start, 0.0) for i in range(len(clips.records))]
    features = {"video": pictures(networks, np.stack([c[0] for c in cut]))[0], "audio": sounds(networks, [c[1] for c in cut])[0]}
    result: dict = {}
    for stream, asked in networks.asked.items():
        logits = networks.heads[stream](torch.from_numpy(features[stream]))[0].numpy()
        first = 0
        for q in asked:
            truth = np.array([q.answer(r) for r in clips.records])
            guess = logits[:, first : first + len(q.answers)].argmax(1)
            first += len(q.answers)
            told = truth >= 0
            common = np.bincount(truth[told]).max() / told.sum()
            result[f"{stream} {q.world or 'all'} {q.key}"] = {
                "right": round(float((guess == truth)[told].mean()), 3),
                "commonest": round(float(common), 3),
                "answers": len(q.answers),
            }
            if q.key == "world":
                table = np.zeros((len(WORLDS), len(WORLDS)), int)
                np.add.at(table, (truth, guess), 1)
                result[f"{stream} confusion of worlds"] = table.tolist()
    return result


def auc(high: np.ndarray, low: np.ndarray) -> float:
    """The probability that one of `high` lies over one of `low`, ties counted half."""
    ranks = rankdata(np.concatenate([high, low]))
    return float((ranks[: len(high)].sum() - len(high) * (len(high) + 1) / 2) / (len(high) * len(low)))


def times(networks: SceneNetworks, clips: Clips, start: int = FPS) -> dict:
    """Offsets found of sounds that were moved by known ones, cut from longer clips so that nothing is filled in."""
    indices = range(len(clips.records))
    video = pictures(networks, np.stack([clips.cut(i, start, 0.0)[0] for i in indices]))[1]
    audio = {ms: sounds(networks, [clips.cut(i, start, ms / 1000)[1] for i in indices])[1] for ms in SHIFTS}
    worlds = np.array([r["world"] for r in clips.records])
    # Those in which something happens at a known time within the window.
    window = (start / FPS, start / FPS + 2)
    eventful = np.array([sum(window[0] + 0.1 < e < window[1] - 0.1 for e in r["events"]) > 0 for r in clips.records])
    found = {ms: [timing(video[i : i + 1], audio[ms][i : i + 1]) for i in indices] for ms in SHIFTS}
    score = {ms: np.array([t.score for t in found[ms]]) for ms in SHIFTS}
    rng = np.random.default_rng(0)
    within = np.array([rng.choice([j for j in np.flatnonzero(worlds == worlds[i]) if j != i]) for i in indices])
    anyone = np.array([rng.choice([j for j in indices if j != i]) for i in indices])
    for name, partner in (("same world", within), ("any", anyone)):
        found[name] = [timing(video[i : i + 1], audio[0][p : p + 1]) for i, p in enumerate(partner)]
        score[name] = np.array([t.score for t in found[name]])
    related = {ms: np.array([t.related for t in found[ms]]) for ms in found}
    result: dict = {}
    groups = {w: worlds == w for w in WORLDS} | {"all": np.ones(len(worlds), bool)}
    groups |= {f"{w}, eventful": (worlds == w) & eventful for w in ("landscape", "kitchen")} | {"all, eventful": eventful}
    labels = np.array([r["label"] for r in clips.records])
    groups |= {
        f"{w}: {x}": (worlds == w) & (labels == x) for w in ("landscape", "kitchen") for x in sorted(set(labels[worlds == w]))
    }
    for name, mask in groups.items():
        errors = np.concatenate([[abs(found[ms][i].offset - ms) for i in np.flatnonzero(mask)] for ms in SHIFTS])
        signed = [np.nanmedian([found[ms][i].offset for i in np.flatnonzero(mask)]) for ms in SHIFTS]
        exact = []
        for ms in SHIFTS:
            p = np.concatenate([probabilities(video[i : i + 1], audio[ms][i : i + 1]) for i in np.flatnonzero(mask)])
            exact.append(np.abs(p.argmax(1) - 16 - ms * 0.032) <= 1)
        result[name] = {
            "clips": int(mask.sum()),
            "within 47 ms": round(float(np.mean(exact)), 3),
            "mean abs error, ms": round(float(np.nanmean(errors)), 1),
            "median abs error, ms": round(float(np.nanmedian(errors)), 1),
            "told unrelated": round(float(np.isnan(errors).mean()), 3),
            "median offset by shift": {str(ms): round(float(v), 1) for ms, v in zip(SHIFTS, signed, strict=True)},
            "mean score by shift": {str(ms): round(float(score[ms][mask].mean()), 3) for ms in score},
            "related by shift": {str(ms): round(float(related[ms][mask].mean()), 3) for ms in score},
            "AUC 0 over 80": round((auc(score[0][mask], score[80][mask]) + auc(score[0][mask], score[-80][mask])) / 2, 3),
            "AUC 0 over 160": round((auc(score[0][mask], score[160][mask]) + auc(score[0][mask], score[-160][mask])) / 2, 3),
            "AUC 0 over 320": round((auc(score[0][mask], score[320][mask]) + auc(score[0][mask], score[-320][mask])) / 2, 3),
            "AUC own over same world's": round(auc(score[0][mask], score["same world"][mask]), 3),
            "AUC own over anyone's": round(auc(score[0][mask], score["any"][mask]), 3),
        }
    return result


def both(distance: Callable, kernel: Callable, changed: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    return {"frechet": round(distance(changed, reference), 2), "kernel": round(kernel(changed, reference), 3)}


def distances(networks: SceneNetworks, clips: Clips) -> dict:
    """Half of the held-out clips against the other half, as they are and damaged more and more; and worlds against worlds."""
    n = len(clips.records) // 2 // len(WORLDS) * len(WORLDS)
    cut = [clips.cut(i, 0, 0.0) for i in range(2 * n)]
    worlds = np.array([r["world"] for r in clips.records[: 2 * n]])
    frames, waves = np.stack([c[0] for c in cut]), np.stack([c[1] for c in cut])
    shown, heard = pictures(networks, frames)[0], sounds(networks, waves)[0]
    result: dict = {"rows": n, "video": {"the other half": both(frechet, kvd, shown[:n], shown[n:])}}
    result["audio"] = {"the other half": both(frechet, kad, heard[:n], heard[n:])}
    for part, rows in (("video", shown), ("audio", heard)):
        result[f"{part}, worlds"] = {
            a: {b: round(frechet(rows[:n][worlds[:n] == a], rows[n:][worlds[n:] == b]), 1) for b in WORLDS} for a in WORLDS
        }
    generator = torch.Generator().manual_seed(0)
    raw = [torch.from_numpy(f).permute(0, 3, 1, 2).float() / 255 for f in frames[:n]]

    def as_frames(changed: list[Tensor]) -> np.ndarray:
        return np.stack([(x.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy() for x in changed])

    kinds: dict[str, tuple[tuple[float, ...], Callable[[Tensor, float], Tensor]]] = {
        "blur, pixels": ((0.5, 1.0, 2.0, 4.0), blurred),
        "noise, of 1": ((0.02, 0.05, 0.1, 0.2), lambda x, s: x + s * torch.randn(x.shape, generator=generator)),
        "blocks, of 1": ((0.05, 0.1, 0.2, 0.4), blocky),
        "frames held": ((2, 4, 8, 16), lambda x, s: x[torch.arange(len(x)) // int(s) * int(s)]),
        "frames in pieces shuffled": (
            (8, 4, 2, 1),
            lambda x, s: rearrange(x, "(k s) c h w -> k s c h w", s=int(s))[
                torch.randperm(len(x) // int(s), generator=generator)
            ].flatten(0, 1),
        ),
        "reversed": ((1,), lambda x, s: x.flip(0)),
        "darker by": ((0.05, 0.1, 0.2), lambda x, s: x - s),
    }
    for name, (levels, change) in kinds.items():
        result["video"][name] = {
            str(s): both(frechet, kvd, pictures(networks, as_frames([change(x, s) for x in raw]))[0], shown[n:]) for s in levels
        }
    hz = torch.fft.rfftfreq(waves.shape[1], 1 / SAMPLE_RATE)

    def lowpass(x: Tensor, pole: float) -> Tensor:
        return torch.fft.irfft(torch.fft.rfft(x) / (1 + (hz / pole) ** 4), len(x))

    def pieces(x: Tensor, s: float) -> Tensor:
        rows = x.reshape(-1, int(s) * PER_FRAME)
        return rows[torch.randperm(len(rows), generator=generator)].reshape(-1)

    def holes(x: Tensor, s: float) -> Tensor:
        x = x.clone()
        for start in torch.randint(0, len(x), (int(s),), generator=generator).tolist():
            x[start : start + 1600] = 0
        return x

    changes: dict[str, tuple[tuple[float, ...], Callable[[Tensor, float], Tensor]]] = {
        "noise, dB of full scale": (
            (-60, -50, -40, -30, -20),
            lambda x, s: x + 10 ** (s / 20) * torch.randn(x.shape, generator=generator),
        ),
        "nothing above, Hz": ((6000, 3000, 1500, 750), lowpass),
        "phases moved by, of pi": ((0.1, 0.25, 0.5, 1.0), lambda x, s: smeared(x, s, generator)),
        "pieces shuffled, of 125 ms": ((8, 4, 2, 1), pieces),
        "holes of 100 ms": ((1, 2, 4, 8), holes),
        "quieter, dB": ((3, 6, 12, 24), lambda x, s: x * 10 ** (-s / 20)),
    }
    for name, (levels, change) in changes.items():
        result["audio"][name] = {
            str(s): both(frechet, kad, sounds(networks, [change(torch.from_numpy(x), s) for x in waves[:n]])[0], heard[n:])
            for s in levels
        }
    return result


def files(networks: SceneNetworks, count: int = 12) -> dict:
    """The same scenes at 8, 25 and 30 pictures a second, through mp4 files: the score and the offset found."""
    result: dict = {}
    for fps in (8, 25, 30):
        for world in ("hits", "bounces", "dance"):
            rows = []
            for seed in range(count):
                clip = render(world, 70_001_000 + seed, Geometry(2 * fps, Fraction(fps), 128, 128, 44100))
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder) / "clip.mp4"
                    media.write(path, clip)
                    read = media.read(path, fps=FPS, size=(64, 64), sample_rate=SAMPLE_RATE, mono=True)
                rows.append(one(networks, read))
            scores, offsets = zip(*rows, strict=True)
            result[f"{world} at {fps}"] = {
                "score": round(float(np.mean(scores)), 3),
                "median offset, ms": round(float(np.nanmedian(offsets)), 1),
            }
    return result


def one(networks: SceneNetworks, clip: Clip) -> tuple[float, float]:
    assert clip.frames is not None
    assert clip.waveform is not None
    video = pictures(networks, clip.frames[None, :FRAMES])[1]
    audio = sounds(networks, clip.waveform[:, : FRAMES * PER_FRAME])[1]
    found = timing(video, audio)
    return found.score, found.offset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--part", choices=["answers", "timing", "distances", "files"], nargs="*")
    parser.add_argument("--every", type=int, default=1, help="of how many held-out clips one is taken")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    clips = Clips(asked.out, "held_out")
    count = len(clips.records) // asked.every
    clips.records = clips.records[:count]
    kept = asked.out / "figures.json"
    figures = json.loads(kept.read_text()) if kept.exists() else {}
    with torch.inference_mode():
        for name, part in (
            ("answers", lambda: answers(trained(asked.out), clips)),
            ("timing", lambda: times(packaged_networks(), clips)),
            ("distances", lambda: distances(packaged_networks(), clips)),
            ("files", lambda: files(packaged_networks())),
        ):
            if not asked.part or name in asked.part:
                figures[name] = part()
                print(name, json.dumps(figures[name], indent=1))
                kept.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()

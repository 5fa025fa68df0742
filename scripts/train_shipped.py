"""How the model inside the package was made: one stage after another, each a few minutes to an hour and a half on two CPU cores.

    python scripts/train_shipped.py render OUT              16,000 clips of the worlds hits and bounces
    python scripts/train_shipped.py frames OUT              the frame autoencoder, from nothing, then at a smaller batch
    python scripts/train_shipped.py mel OUT                 the mel autoencoder
    python scripts/train_shipped.py vocoder OUT             the vocoder on true mel frames, then also on rebuilt ones
    python scripts/train_shipped.py encode OUT              raw latents of all clips and their moments
    python scripts/train_shipped.py uniform OUT             the transformer
    python scripts/train_shipped.py assemble OUT FOLDER     all of it as one pipeline folder, in half precision

Every stage ends by its minutes, so the steps depend on the machine; docs/training-log.md has those of the shipped weights.
`sonovid train codec.frames` and the like train the same networks by the same loop on anyone's files, for a number of steps.
"""

import argparse
import json
import time
from dataclasses import replace
from fractions import Fraction
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sonovid.codecs.audio import MelAutoencoder
from sonovid.codecs.mel import LogMel
from sonovid.codecs.spectrogram import SpectrogramCodec
from sonovid.codecs.text import HashedText
from sonovid.codecs.video import FrameAutoencoder
from sonovid.codecs.vocoder import SpectralVocoder
from sonovid.core.av import AV, Task
from sonovid.core.condition import Condition
from sonovid.core.geometry import Geometry
from sonovid.data.scenes import render
from sonovid.diffusion.objective import LogitNormal, LossOutput, MultiTaskObjective, PairComparison
from sonovid.diffusion.schedule import RectifiedFlow
from sonovid.models.uniform.transformer import UniForm
from sonovid.pipelines.pipeline import SoundingVideoPipeline
from sonovid.training.config import TrainingConfig
from sonovid.training.job import Job
from sonovid.training.loop import train
from sonovid.training.reconstruction import FrameReconstruction, MelReconstruction, VocoderObjective

GEOMETRY = Geometry(16, Fraction(8), 64, 64, 16000)
WORLDS, CLIPS, FIRST_SEED = ("hits", "bounces"), 16_000, 0
HELD_OUT = 256
LOG_MEL = LogMel(hop=250, floor=1e-3)
OPTIONS = {"num_inference_steps": 25, "guidance_scale": 2.0, "audio_guidance_scale": 2.0, "shift": 1.0}
# Of the stages that end by the clock the number of steps is left open.
OPEN = 1_000_000


def _render(number: int) -> tuple[np.ndarray, np.ndarray, str]:
    clip = render(WORLDS[number % len(WORLDS)], FIRST_SEED + number // len(WORLDS), GEOMETRY)
    return clip.frames, (clip.waveform[0] * 32767).round().astype(np.int16), clip.caption


def stage_render(out: Path, workers: int) -> None:
    """Frames uint8 [n t h w 3], waveforms int16 [n m] and captions, as files that can be mapped."""
    frames = np.lib.format.open_memmap(out / "frames.npy", "w+", np.uint8, (CLIPS, GEOMETRY.num_frames, 64, 64, 3))
    audio = np.lib.format.open_memmap(out / "audio.npy", "w+", np.int16, (CLIPS, GEOMETRY.num_samples))
    captions = []
    with get_context("spawn").Pool(workers) as pool:
        for i, (pictures, sound, caption) in enumerate(pool.imap(_render, range(CLIPS), chunksize=16)):
            frames[i], audio[i] = pictures, sound
            captions.append(caption)
    frames.flush()
    audio.flush()
    (out / "captions.json").write_text(json.dumps(captions))


def waves(audio: np.ndarray, indices: list[int]) -> dict[str, Tensor]:
    """Whole waveforms."""
    return {"waveform": torch.from_numpy(np.stack([audio[i] for i in indices]).astype(np.float32) / 32767)}


def crops(audio: np.ndarray, indices: list[int], length: int) -> dict[str, Tensor]:
    """Pieces of `length` samples: index i is clip i modulo the clips, from a place that i alone decides."""
    count = len(audio) - HELD_OUT
    places = (GEOMETRY.num_samples - length) // 4000 + 1
    cut = [audio[i % count][(i // count) % places * 4000 :][:length] for i in indices]
    return {"waveform": torch.from_numpy(np.stack(cut).astype(np.float32) / 32767)}


def stage_frames(out: Path, minutes: list[float]) -> None:
    """A first phase at a batch of 32 and a second, from there, at 16 and a higher rate."""
    frames = np.load(out / "frames.npy", mmap_mode="r")
    per_clip, count = GEOMETRY.num_frames, (CLIPS - HELD_OUT) * GEOMETRY.num_frames

    def batch(indices, first=0):
        flat = np.stack([frames[(first + i) // per_clip, (first + i) % per_clip] for i in indices])
        return {"frames": (torch.from_numpy(flat).float() / 127.5 - 1).permute(0, 3, 1, 2)[:, :, None].contiguous()}

    torch.manual_seed(0)
    model = FrameAutoencoder(latent_channels=8)
    phases = [TrainingConfig(batch_size=32, learning_rate=1e-3), TrainingConfig(batch_size=16, learning_rate=1.2e-3, warm_up=100)]
    for number, (phase, limit) in enumerate(zip(phases, minutes, strict=True)):
        settings = replace(phase, steps=OPEN, max_minutes=limit, precision="bf16", weight_decay=0.0, validate_every=2000)
        model = model.train().to(memory_format=torch.channels_last)
        job = Job(model, FrameReconstruction(), batch, count, lambda i: batch(i, count), HELD_OUT * per_clip, settings)
        model = FrameAutoencoder.from_pretrained(train(job, out / f"frames-{number}", resume="latest"))


def stage_mel(out: Path, minutes: list[float]) -> None:
    """Two seconds of sound at a time."""
    audio = np.load(out / "audio.npy", mmap_mode="r")
    count = CLIPS - HELD_OUT
    torch.manual_seed(0)
    settings = TrainingConfig(
        steps=OPEN,
        max_minutes=minutes[0],
        batch_size=16,
        learning_rate=1e-3,
        precision="bf16",
        weight_decay=0.0,
        validate_every=500,
    )
    job = Job(
        MelAutoencoder(width=192),
        MelReconstruction(LOG_MEL),
        lambda i: waves(audio, i),
        count,
        lambda i: waves(audio, [count + j for j in i]),
        HELD_OUT,
        settings,
    )
    train(job, out / "mel-0", resume="latest")


def stage_vocoder(out: Path, minutes: list[float]) -> None:
    """A first phase on true mel frames, a second on shorter pieces, half of them through the mel autoencoder."""
    audio = np.load(out / "audio.npy", mmap_mode="r")
    count = CLIPS - HELD_OUT
    torch.manual_seed(0)
    model = SpectralVocoder()
    autoencoder = MelAutoencoder.from_pretrained(out / "mel-0" / "model").eval().requires_grad_(False)
    phases = [
        (16000, None, TrainingConfig(batch_size=16, learning_rate=5e-4)),
        (8000, autoencoder, TrainingConfig(batch_size=8, learning_rate=8e-4)),
    ]
    for number, ((length, through, phase), limit) in enumerate(zip(phases, minutes, strict=True)):
        settings = replace(
            phase, steps=OPEN, max_minutes=limit, warm_up=100, precision="bf16", weight_decay=0.0, validate_size=32
        )
        job = Job(
            model.train(),
            VocoderObjective(LOG_MEL, mel_autoencoder=through),
            lambda i, length=length: crops(audio, i, length),
            count * ((GEOMETRY.num_samples - length) // 4000 + 1),
            lambda i: waves(audio, [count + j for j in i]),
            HELD_OUT,
            settings,
        )
        model = SpectralVocoder.from_pretrained(train(job, out / f"vocoder-{number}", resume="latest"))


def stage_encode(out: Path) -> None:
    """Raw latents in half precision, and the moments of each channel."""
    video = FrameAutoencoder.from_pretrained(out / "frames-1" / "model").eval().to(memory_format=torch.channels_last)
    mel = MelAutoencoder.from_pretrained(out / "mel-0" / "model").eval()
    frames, audio = (np.load(out / f"{name}.npy", mmap_mode="r") for name in ("frames", "audio"))
    shapes = AV(video.latent_shape(GEOMETRY), (mel.config.latent_channels, *mel.latent_grid(128, 64)))
    kept = AV(
        *(
            np.lib.format.open_memmap(out / f"latents-{n}.npy", "w+", np.float16, (CLIPS, *s))
            for n, s in zip("va", shapes, strict=True)
        )
    )
    with torch.inference_mode():
        for i in range(0, CLIPS, 16):
            x = (torch.from_numpy(np.array(frames[i : i + 16])).float() / 127.5 - 1).permute(0, 4, 1, 2, 3)
            with torch.autocast("cpu", torch.bfloat16):
                kept.video[i : i + 16] = video.encode(x).half().numpy()
            kept.audio[i : i + 16] = (
                mel.encode(LOG_MEL(torch.from_numpy(audio[i : i + 16].astype(np.float32) / 32767))).half().numpy()
            )
    moments = {}
    for name, values in zip(AV._fields, kept, strict=True):
        some = torch.from_numpy(np.array(values[: 2000 if name == "video" else None], np.float32)).movedim(1, 0).flatten(1)
        moments[name] = {"mean": some.mean(1).tolist(), "std": some.std(1, correction=0).tolist()}
    (out / "moments.json").write_text(json.dumps(moments))


def codecs(out: Path) -> AV:
    """Both codecs with the whitening that `stage_encode` found."""
    moments = json.loads((out / "moments.json").read_text())
    video = FrameAutoencoder.from_pretrained(out / "frames-1" / "model").eval()
    video.register_to_config(latents_mean=moments["video"]["mean"], latents_std=moments["video"]["std"])
    parts = (
        MelAutoencoder.from_pretrained(out / "mel-0" / "model"),
        SpectralVocoder.from_pretrained(out / "vocoder-1" / "model"),
    )
    whitening = {"latents_mean": moments["audio"]["mean"], "latents_std": moments["audio"]["std"]}
    return AV(video, SpectrogramCodec(*parts, LOG_MEL, **whitening).eval())


def objective(phase: int) -> MultiTaskObjective:
    """All three tasks. The first phase learns sound for pictures; the second gives pictures the time, at noisier levels."""
    if phase == 0:
        shares, near, clean, from_audio = (0.3, 0.45, 0.25), LogitNormal(0.3, 1.0), LogitNormal(0.3, 1.0), LogitNormal(0.8, 1.2)
    else:
        shares, near, clean, from_audio = (0.46, 0.14, 0.4), LogitNormal(1.2, 1.2), LogitNormal(0.8, 1.2), LogitNormal(1.8, 1.2)
    from_video = LogitNormal(0.8, 1.2)
    return MultiTaskObjective(
        schedule=AV(RectifiedFlow(), RectifiedFlow()),
        predict="flow",
        tasks=dict(zip((Task.JOINT, Task.VIDEO_TO_AUDIO, Task.AUDIO_TO_VIDEO), shares, strict=True)),
        time_distribution=AV(near, clean),
        task_time_distributions={Task.VIDEO_TO_AUDIO: AV(near, from_video), Task.AUDIO_TO_VIDEO: AV(from_audio, clean)},
        text_dropout=0.3,
    )


def true_and_shuffled(phase: int, model, batch, generator) -> PairComparison:
    """The losses of true and of shuffled pairs, each task apart."""
    true, shuffled = {}, {}
    for task in Task:
        found = replace(objective(phase), tasks={task: 1.0}).compare_shuffled(model, batch, torch.Generator().manual_seed(1))
        for name, loss in found.true.losses.items():
            if not loss.isnan().any():
                true[f"{task.name.lower()}_{name}"] = loss
                shuffled[f"{task.name.lower()}_{name}"] = found.shuffled.losses[name]
    return PairComparison(LossOutput(true, found.true.times), LossOutput(shuffled, found.shuffled.times))


def stage_uniform(out: Path, minutes: list[float]) -> None:
    """The transformer on cached latents."""
    both = codecs(out)
    raw = AV(*(np.load(out / f"latents-{name}.npy", mmap_mode="r") for name in "va"))
    captions, text = json.loads((out / "captions.json").read_text()), HashedText(width=256)

    def batch(indices, first=0):
        chosen = [first + i for i in indices]
        x0 = both.map(lambda codec, kept: codec.whiten(torch.from_numpy(kept[chosen].astype(np.float32))), raw)
        words, mask = text([captions[i] for i in chosen])
        ones = torch.ones(len(chosen), dtype=torch.bool)
        return {"x0": x0, "condition": Condition(words, mask, AV(ones, ones))}

    torch.manual_seed(0)
    model = UniForm(
        layout="tokens", depth=5, width=192, heads=3, patch_size=(2, 2, 2), video=(8, 8, 8), audio=(16, 1, 2), fps=8.0
    )
    count = CLIPS - HELD_OUT
    phases = [
        TrainingConfig(steps=1500, decay="constant", batch_size=24),
        TrainingConfig(steps=OPEN, batch_size=32, optimizer="muon", warm_up=30),
    ]
    for number, (phase, limit) in enumerate(zip(phases, minutes, strict=True)):
        settings = replace(
            phase,
            max_minutes=limit,
            learning_rate=8e-4,
            precision="bf16",
            average=0.998,
            validate_every=500,
            validate_size=192,
            weight_decay=0.02,
        )
        pairs = partial(true_and_shuffled, number)
        job = Job(model, objective(number), batch, count, lambda i: batch(i, count), HELD_OUT, settings, compare_pairs=pairs)
        train(job, out / f"uniform-{number}", resume="latest")


def stage_assemble(out: Path, folder: Path) -> None:
    """One pipeline folder, in half precision."""
    model = UniForm.from_pretrained(out / "uniform-1" / "model")
    schedule = AV(RectifiedFlow(), RectifiedFlow())
    pipe = SoundingVideoPipeline(model, *codecs(out), HashedText(width=256), GEOMETRY, schedule, "flow", "dpm_solver", OPTIONS)
    for part in (pipe.denoiser, pipe.video_codec, pipe.audio_codec):
        part.half()
    pipe.save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=["render", "frames", "mel", "vocoder", "encode", "uniform", "assemble"])
    parser.add_argument("out", type=Path)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--minutes", type=float, nargs="+", help="of each phase, instead of those that were used")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    used = {"frames": [13, 10], "mel": [6.5], "vocoder": [14, 30], "uniform": [84, 54]}
    minutes = options.minutes or used.get(options.stage)
    began = time.monotonic()
    match options.stage:
        case "render":
            stage_render(options.out, options.threads)
        case "frames":
            stage_frames(options.out, minutes)
        case "mel":
            stage_mel(options.out, minutes)
        case "vocoder":
            stage_vocoder(options.out, minutes)
        case "encode":
            stage_encode(options.out)
        case "uniform":
            stage_uniform(options.out, minutes)
        case "assemble":
            if options.folder is None:
                parser.error("assemble needs a FOLDER to write")
            stage_assemble(options.out, options.folder)
    print(f"{options.stage}: {(time.monotonic() - began) / 60:.1f} minutes")


if __name__ == "__main__":
    main()

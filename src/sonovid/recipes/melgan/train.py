"""The improved MelGAN's training from its recipe: sounds cached as they are, the vocoder and its judge trained in turns."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from sonovid.codecs.melgan import MelGAN
from sonovid.core.av import AV
from sonovid.recipes import components as parts
from sonovid.recipes.codec.train import SHOWN, Pieces, leave_figures, leave_sounds, leave_spectrograms, sounds, untouched
from sonovid.recipes.melgan import MelGANRecipe
from sonovid.training.melgan import MelGANObjective, WaveformDiscriminator
from sonovid.training.loop import Job, seeded_init, train
from sonovid.training.reconstruction import multi_resolution_stft_loss


def run(recipe: MelGANRecipe, resolved: dict[str, Any]) -> Path:
    """Train, and return the vocoder's folder.

    Raises:
        ValueError: sizes that do not fit each other, or no sound to train on.
    """
    refuse(recipe)
    out = Path(recipe.out)
    cached = parts.caches(recipe.data, recipe.geometry, out, untouched, "untouched", (False, True), streams=AV(False, True))
    training, held_out, _ = cached
    return train(job(recipe, training, held_out or training, resolved), out, resume=recipe.resume)


def refuse(recipe: MelGANRecipe) -> None:
    """Raises ValueError where the recipe's sizes do not fit each other."""
    hop, ratios = recipe.mel.hop, recipe.network.ratios
    if math.prod(ratios) != hop:
        raise ValueError(f"network.ratios={','.join(map(str, ratios))}: their product must be mel.hop={hop}")
    if recipe.samples < recipe.mel.n_fft or recipe.samples % hop:
        raise ValueError(
            f"samples={recipe.samples}: expected a multiple of mel.hop={hop}, no less than mel.n_fft={recipe.mel.n_fft}"
        )
    if recipe.samples > recipe.geometry.num_samples:
        raise ValueError(
            f"samples={recipe.samples}: sounds are cut to {recipe.geometry.num_samples}; give fewer, or more geometry.num_frames"
        )


def job(recipe: MelGANRecipe, training: Any, held_out: Any, resolved: dict[str, Any]) -> Job:
    """The training of the vocoder."""
    log_mel, rate = parts.log_mel(recipe.mel, recipe.geometry.sample_rate), recipe.geometry.sample_rate
    pieces, kept = (Pieces(cache, 1, recipe.samples, recipe.geometry.num_samples) for cache in (training, held_out))
    with seeded_init(recipe.training.seed):
        own = recipe.network
        model = MelGAN(recipe.mel.bins, own.ratios, own.width, own.blocks)
        judge = WaveformDiscriminator(recipe.judge.width, widest=recipe.judge.widest) if recipe.judge.on else None
    if recipe.start:
        begun = MelGAN.from_pretrained(recipe.start, use_safetensors=True)
        try:
            model.load_state_dict(begun.state_dict())
        except RuntimeError:
            raise ValueError(f"start={recipe.start}: holds a vocoder of another size than this recipe's") from None
    shown = sounds(kept)(range(min(SHOWN, len(kept))))["waveform"]

    def sample(model: Any, folder: Path, step: int) -> None:
        true = shown.to(model.device)
        mel = log_mel(true)
        made = model(mel).float()
        heard = log_mel(made)
        distance = float(multi_resolution_stft_loss(made, true).mean())
        leave_figures(folder, mel_error=float((heard - mel).abs().mean()), spectral_distance=distance)
        leave_spectrograms(folder / "mel.png", mel, heard)
        leave_sounds(folder, rate, true=true, made=made)
        on_board(folder.parent.parent / "tensorboard", step, {"true": true, "made": made}, rate)

    return Job(
        model=model,
        objective=MelGANObjective(log_mel, judge, **asdict(recipe.losses)),
        batch=sounds(pieces),
        size=len(pieces),
        validation=sounds(kept),
        validation_size=len(kept),
        settings=recipe.training,
        adversary=judge,
        sample=sample,
        recipe=resolved,
    )


def on_board(folder: Path, step: int, waves: dict[str, Tensor], rate: int) -> None:
    """Sounds to listen to in TensorBoard, where that is installed, beside the run's curves."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return
    with SummaryWriter(str(folder)) as board:
        for name, wave in waves.items():
            for i, one in enumerate(wave[:4]):
                board.add_audio(f"{name}/{i}", one[None].clamp(-1, 1).cpu(), step, sample_rate=rate)

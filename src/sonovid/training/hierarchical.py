"""What MM-LDM's autoencoder is trained by: noise regressed, meaning classified and contrasted, realism judged (Eqs. 1-3)."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from sonovid.codecs.hierarchical.autoencoder import SCHEDULE
from sonovid.core.av import AV
from sonovid.diffusion.losses import mean_squared_error
from sonovid.diffusion.schedule import add_noise, to_x0, training_target
from sonovid.training.reconstruction import ReconstructionOutput, sample_posterior

log = logging.getLogger(__name__)


def kl_divergence(mean: Float[Tensor, "b *x"], log_variance: Float[Tensor, "b *x"]) -> Float[Tensor, "b"]:
    """Kullback-Leibler divergence of N(mean, variance) from N(0, 1), summed over a sample's latents (as in latent diffusion)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).flatten(1).sum(1)


def contrastive_loss(vectors: AV, scales: AV) -> Float[Tensor, "b"]:
    """Half the cross-entropy of finding one's own sound among all, and half that of one's own pictures (Eq. 1), by sample.

    vectors: of unit length, [b e] each. scales: the multipliers tau, video to audio and back. With several processes the
    negatives are those of all of them.

    Deviation: Eq. 1 sums over the batch; this is one term of it for each sample, whose mean is trained on.
    """
    video, audio = (gather_across_processes(v) for v in vectors)
    rank = torch.distributed.get_rank() if video is not vectors.video else 0
    own = torch.arange(len(vectors.video), device=video.device) + rank * len(vectors.video)
    forth = F.cross_entropy(scales.video * vectors.video @ audio.T, own, reduction="none")
    back = F.cross_entropy(scales.audio * vectors.audio @ video.T, own, reduction="none")
    return (forth + back) / 2


def gather_across_processes(x: Float[Tensor, "b e"]) -> Float[Tensor, "n e"]:
    """The rows of all processes, with gradients; the same tensor where there is one process."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1):
        return x
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(x))


def hinge_loss(real: Float[Tensor, "b"], *fakes: Float[Tensor, "b"]) -> dict[str, Tensor]:
    """The discriminator's loss, bounded below: relu(1 - D) of real triples and the mean of relu(1 + D) over the kinds of fakes.

    Deviation: Eq. 2 is written as logarithms of an unbounded D, with signs that reward it for being wrong; as in the release,
    this is the hinge. Deviation: Eq. 2 sums over four kinds of fakes; that outweighs the one kind of real ones so far that on
    scenes the answer was -1 to everything, for as long as it was tried. The mean weighs both alike.
    """
    return {"real": F.relu(1 - real), "fake": torch.stack([F.relu(1 + fake) for fake in fakes]).mean(0)}


def fake_triples(real: Float[Tensor, "b 3 s h w"], made: Float[Tensor, "b 3 s h w"]) -> tuple[Tensor, ...]:
    """The four fake triples of Eq. 2: all made; the second frame true; the first true; the made frames in the wrong order."""
    a, i, j = (made[:, :, s : s + 1] for s in range(3))
    true_i, true_j = real[:, :, 1:2], real[:, :, 2:3]
    return made, torch.cat([a, i, true_j], 2), torch.cat([a, true_i, j], 2), torch.cat([a, j, i], 2)


@dataclass(frozen=True, kw_only=True)
class HierarchicalObjective:
    """The autoencoder's loss (Eq. 3), as an objective of the training loop; the model is a `HierarchicalAutoencoder`.

    A batch is a mapping with
        `video`, `audio`: what `model.perceive` gives, float [b c t h w] and [b c h w];
        `labels`: int [b], -1 for none; may be left out;
        `frames`, `picture`: with an adversary, the true pixels [b 3 t H W] and audio images [b 3 H W] in [-1, 1].

    kl, classes, contrast, adversarial: the weights lambda; the published ones are 1e-8 or 1e-9, 0.1, 0.1 and 0.1. frames: drawn
    of each clip, in rising order, at least 2 with an adversary; every picture has a time of its own. dropout: how often a
    sample's decoding is told nothing, for each stream by itself. adversary: a `Discriminator`, on from the first step.
    judged: how many clips of a batch it judges, the first ones; None: all, as published. Drawing pixels is what costs most.

    Losses are weighted already, one value per sample, NaN where there is none: "audio" and "video" (the two halves of L_MSE),
    "kl", and where they apply "classes", "contrast", "adversarial". What a sample's decoding is not told, its semantic losses
    still see.

    Deviation: the released code zeroes the encoder's input where it drops a condition, and so the semantic losses' too.
    """

    kl: float = 1e-8
    classes: float = 0.1
    contrast: float = 0.1
    adversarial: float = 0.1
    frames: int = 2
    dropout: float = 0.1
    adversary: nn.Module | None = None
    judged: int | None = None

    def __post_init__(self) -> None:
        if self.frames < (1 if self.adversary is None else 2):
            raise ValueError(f"HierarchicalLosses: frames={self.frames}; expected at least 1, and 2 with an adversary")

    def __call__(self, model: Any, batch: Mapping[str, Tensor], generator: torch.Generator | None = None) -> ReconstructionOutput:
        """The autoencoder's losses, and for the adversary the true and the made triples."""
        network, perceived = model.network, AV(batch["video"], batch["audio"])
        posterior = network.posterior(perceived)
        latents = posterior.map(lambda found: sample_posterior(found[0], found[1], generator))
        divergence = posterior.map(lambda found: kl_divergence(*found))
        losses = {"kl": self.kl * (divergence.video + divergence.audio)}
        meaning = network.encode_semantics(latents)
        labels = batch.get("labels")
        if meaning is not None:
            losses |= self._semantic(meaning, labels)
        numbers = draw_frames(perceived.video.shape[2], len(perceived.video), self.frames, generator).to(perceived.video.device)
        present = latents.map(lambda z: draw_uniform(len(z), generator, z.device) >= self.dropout)
        told = network.make_condition(
            latents,
            numbers,
            features=None if meaning is None else meaning.features,
            labels=labels,
            keep_condition=present,
            null_latents=network.null_latents(),
        )
        x0 = torch.cat([rearrange(select_frames(perceived.video, numbers), "b c k h w -> (b k) c h w"), perceived.audio])
        t = (draw_uniform(len(x0), generator, x0.device) * 1000).floor().add(1) / 1000
        eps = torch.randn(x0.shape, generator=generator, device=x0.device).to(x0)
        noisy = add_noise(SCHEDULE, x0, eps, t)
        found, predict = network(noisy, t, told), network.config.predict
        wanted = training_target(SCHEDULE, predict, x0, eps, t)
        video, audio = mean_squared_error(found, wanted).split([numbers.numel(), len(perceived.audio)])
        losses |= {"video": video.reshape(len(numbers), -1).mean(1), "audio": audio}
        if self.adversary is None:
            return ReconstructionOutput(losses)
        some = len(numbers) if self.judged is None else self.judged
        made = self._triples(model, to_x0(SCHEDULE, predict, found.to(noisy.dtype), noisy, t), numbers, some)
        verdict = self.adversarial * F.relu(1 - self.adversary(made))
        losses["adversarial"] = F.pad(verdict, (0, len(numbers) - len(verdict)), value=torch.nan)
        return ReconstructionOutput(losses, (true_triples(batch, numbers[:some]), made.detach()))

    def discriminate(self, adversary: nn.Module, made: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """The adversary's own losses, from the true and the made triples: it is given nothing that leads to the autoencoder."""
        real, false = (triples.detach() for triples in made)
        return hinge_loss(adversary(real), *(adversary(fake) for fake in fake_triples(real, false)))

    def _semantic(self, meaning: Any, labels: Int[Tensor, "b"] | None) -> dict[str, Tensor]:
        found = {"contrast": self.contrast * contrastive_loss(meaning.vectors, meaning.scales)}
        if meaning.logits is None:
            return found
        if labels is None or not bool((labels >= 0).any()):
            warn_once("the data carry no labels: the classification loss is skipped")
            labels = torch.full((len(meaning.logits),), -1, device=meaning.logits.device)
        if int(labels.max()) >= meaning.logits.shape[1]:
            raise ValueError(f"label {int(labels.max())}: this autoencoder knows classes 0 to {meaning.logits.shape[1] - 1}")
        loss = F.cross_entropy(meaning.logits, labels.clamp(min=0), reduction="none")
        found["classes"] = self.classes * torch.where(labels >= 0, loss, float("nan"))
        return found

    @staticmethod
    def _triples(
        model: Any, x0: Float[Tensor, "n c h w"], numbers: Int[Tensor, "b k"], some: int
    ) -> Float[Tensor, "b2 3 s h2 w2"]:
        """Audio image and two frames in pixels, of the clean latents that one step of the decoder arrives at."""
        b, k = numbers.shape
        video = rearrange(x0[: b * k], "(b k) c h w -> b k c h w", k=k)[:some, :2]
        pictures = model.decode_signal(torch.cat([x0[b * k :, None][:some], video], 1).flatten(0, 1))
        return rearrange(pictures.float(), "(b s) c h w -> b c s h w", s=3)


def true_triples(batch: Mapping[str, Tensor], numbers: Int[Tensor, "b k"]) -> Float[Tensor, "b 3 s h2 w2"]:
    """The true audio image and the first two frames drawn, of as many clips as there are numbers."""
    if "frames" not in batch or "picture" not in batch:
        raise ValueError("HierarchicalLosses: an adversary judges pixels; the batch needs `frames` and `picture`")
    some = len(numbers)
    return torch.cat([batch["picture"][:some, :, None], select_frames(batch["frames"][:some], numbers[:, :2])], 2)


def select_frames(frames: Float[Tensor, "b c t h w"], numbers: Int[Tensor, "b k"]) -> Float[Tensor, "b c k h w"]:
    """Of each clip the frames of these numbers."""
    return torch.stack([clip[:, own] for clip, own in zip(frames, numbers, strict=True)])


def draw_frames(total: int, b: int, count: int, generator: torch.Generator | None) -> Int[Tensor, "b k"]:
    """For each clip `count` different frames of `total`, in rising order.

    Deviation: in the release they may coincide; the paper has i < j.
    """
    if count > total:
        raise ValueError(f"{count} frames drawn of {total}: a window has no more")
    device = "cpu" if generator is None else generator.device
    return torch.rand(b, total, generator=generator, device=device).argsort(1)[:, :count].sort(1).values


def draw_uniform(count: int, generator: torch.Generator | None, device: torch.device) -> Float[Tensor, "n"]:
    return torch.rand(count, generator=generator, device="cpu" if generator is None else generator.device).to(device)


_NOTICED: set[str] = set()


def warn_once(text: str) -> None:
    """A warning, once in a process."""
    if text not in _NOTICED:
        _NOTICED.add(text)
        log.warning(text)

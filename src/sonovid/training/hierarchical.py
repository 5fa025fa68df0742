"""Objective of MM-LDM's autoencoder: denoising, classification, contrastive and adversarial losses (eqs. 1-3)."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
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
    """KL(N(mean, variance) || N(0, 1)), summed over the latents of a sample, as in latent diffusion."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).flatten(1).sum(1)


def contrastive_loss(vectors: AV, scales: AV) -> Float[Tensor, "b"]:
    """Symmetric contrastive loss of each sample (eq. 1), with the negatives of all processes.

    Args:
        vectors: embeddings of unit length, [b e] each.
        scales: the multipliers tau, video to audio and audio to video.

    Deviation: eq. 1 sums over the batch. This returns the terms of the sum, of which the loop takes the mean.
    """
    video, audio = (gather_across_processes(v) for v in vectors)
    rank = torch.distributed.get_rank() if video is not vectors.video else 0
    own = torch.arange(len(vectors.video), device=video.device) + rank * len(vectors.video)
    forth = F.cross_entropy(scales.video * vectors.video @ audio.T, own, reduction="none")
    back = F.cross_entropy(scales.audio * vectors.audio @ video.T, own, reduction="none")
    return (forth + back) / 2


def gather_across_processes(x: Float[Tensor, "b e"]) -> Float[Tensor, "n e"]:
    """Concatenate the rows of all processes, with gradients. The same tensor if there is one process."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1):
        return x
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(x))


def hinge_loss(real: Float[Tensor, "b"], *fakes: Float[Tensor, "b"]) -> dict[str, Tensor]:
    """Hinge losses of the discriminator: relu(1 - D) for real triples, and the mean of relu(1 + D) over the kinds of fakes.

    Args:
        real: discriminator outputs of real triples.
        fakes: discriminator outputs of each kind of fake triples.

    Deviation: eq. 2 takes logarithms of an unbounded D, with signs that reward wrong outputs. The released code uses the hinge
    loss, and so does this. Deviation: eq. 2 sums over four kinds of fakes. On the procedural scenes that outweighed the real
    triples so far that the discriminator answered -1 to everything for as long as it was tried. The mean weights both equally.
    """
    return {"real": F.relu(1 - real), "fake": torch.stack([F.relu(1 + fake) for fake in fakes]).mean(0)}


def fake_triples(real: Float[Tensor, "b 3 s h w"], generated: Float[Tensor, "b 3 s h w"]) -> tuple[Tensor, ...]:
    """The four kinds of fake triples of eq. 2: all generated; second frame real; first frame real; frames in wrong order."""
    a, i, j = (generated[:, :, s : s + 1] for s in range(3))
    real_i, real_j = real[:, :, 1:2], real[:, :, 2:3]
    return generated, torch.cat([a, i, real_j], 2), torch.cat([a, real_i, j], 2), torch.cat([a, j, i], 2)


@dataclass(frozen=True, kw_only=True)
class HierarchicalObjective:
    """Objective of a `HierarchicalAutoencoder` (eq. 3).

    A batch is a mapping with

    - `video`, `audio`: as `model.perceive` returns them, float [b c t h w] and [b c h w];
    - `labels`: int [b], -1 for none; optional;
    - `frames`, `picture`: with an adversary, the real pixels [b 3 t H W] and audio images [b 3 H W] in [-1, 1].

    The losses are weighted, one value per sample, NaN for samples without it: "audio" and "video" (the two halves of L_MSE),
    "kl", and where they apply "classes", "contrast" and "adversarial".

    Args:
        kl: weight of the KL divergence; published: 1e-8 or 1e-9.
        classes: weight of the classification loss; published: 0.1.
        contrast: weight of the contrastive loss; published: 0.1.
        adversarial: weight of the adversarial loss; published: 0.1.
        frames: frames drawn of each clip, in ascending order; at least 2 with an adversary. Each has its own time.
        dropout: share of samples whose decoder gets the null condition, drawn for each stream independently. The semantic losses
            still see the latents of these samples.
        adversary: a `Discriminator`. It is active from the first step.
        judged: number of clips per batch for the adversarial loss, the first ones. None: all, as published. Decoding to pixels
            is the most expensive part of a step.

    Deviation: the released code zeroes the input of the encoder where it drops a condition, and so also that of the semantic
    losses.
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
            raise ValueError(f"HierarchicalObjective: frames={self.frames}; expected at least 1, and 2 with an adversary")

    def __call__(self, model: Any, batch: Mapping[str, Tensor], generator: torch.Generator | None = None) -> ReconstructionOutput:
        """Losses of the autoencoder, and for the adversary the real and the generated triples."""
        network, perceived = model.network, AV(batch["video"], batch["audio"])
        posterior = network.posterior(perceived)
        latents = posterior.map(lambda moments: sample_posterior(moments[0], moments[1], generator))
        divergence = posterior.map(lambda moments: kl_divergence(*moments))
        losses = {"kl": self.kl * (divergence.video + divergence.audio)}
        semantics = network.encode_semantics(latents)
        labels = batch.get("labels")
        if semantics is not None:
            losses |= self._semantic_losses(semantics, labels)
        numbers = draw_frames(perceived.video.shape[2], len(perceived.video), self.frames, generator).to(perceived.video.device)
        keep = latents.map(lambda z: draw_uniform(len(z), generator, z.device) >= self.dropout)
        condition = network.make_condition(
            latents,
            numbers,
            features=None if semantics is None else semantics.features,
            labels=labels,
            keep_condition=keep,
            null_latents=network.null_latents(),
        )
        x0 = AV(rearrange(select_frames(perceived.video, numbers), "b c k h w -> (b k) c h w"), perceived.audio)
        t = x0.map(lambda one: (draw_uniform(len(one), generator, one.device) * 1000).floor().add(1) / 1000)
        eps = x0.map(lambda one: torch.randn(one.shape, generator=generator, device=one.device).to(one))
        noisy = x0.map(partial(add_noise, SCHEDULE), eps, t)
        output, predict = network(noisy, t, condition), network.config.predict
        target = x0.map(partial(training_target, SCHEDULE, predict), eps, t)
        video, audio = output.map(mean_squared_error, target)
        losses |= {"video": video.reshape(len(numbers), -1).mean(1), "audio": audio}
        if self.adversary is None:
            return ReconstructionOutput(losses)
        count = len(numbers) if self.judged is None else self.judged
        estimate = output.map(lambda out, at, time: to_x0(SCHEDULE, predict, out.to(at.dtype), at, time), noisy, t)
        generated = self._decode_triples(model, estimate, numbers, count)
        verdict = self.adversarial * F.relu(1 - self.adversary(generated))
        losses["adversarial"] = F.pad(verdict, (0, len(numbers) - len(verdict)), value=torch.nan)
        return ReconstructionOutput(losses, (real_triples(batch, numbers[:count]), generated.detach()))

    def discriminate(self, adversary: nn.Module, pair: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Losses of the adversary on real and generated triples, detached from the autoencoder."""
        real, generated = (triples.detach() for triples in pair)
        return hinge_loss(adversary(real), *(adversary(fake) for fake in fake_triples(real, generated)))

    def _semantic_losses(self, semantics: Any, labels: Int[Tensor, "b"] | None) -> dict[str, Tensor]:
        """The contrastive loss, and the classification loss if the model has classes."""
        losses = {"contrast": self.contrast * contrastive_loss(semantics.vectors, semantics.scales)}
        if semantics.logits is None:
            return losses
        if labels is None or not bool((labels >= 0).any()):
            warn_once("the data have no labels: the classification loss is skipped")
            labels = torch.full((len(semantics.logits),), -1, device=semantics.logits.device)
        if int(labels.max()) >= semantics.logits.shape[1]:
            raise ValueError(f"label {int(labels.max())}: this autoencoder has classes 0 to {semantics.logits.shape[1] - 1}")
        loss = F.cross_entropy(semantics.logits, labels.clamp(min=0), reduction="none")
        losses["classes"] = self.classes * torch.where(labels >= 0, loss, float("nan"))
        return losses

    @staticmethod
    def _decode_triples(model: Any, x0: AV, numbers: Int[Tensor, "b k"], count: int) -> Float[Tensor, "b2 3 s h2 w2"]:
        """Decode the estimated clean latents of `count` clips to an audio image and two frames."""
        video = rearrange(x0.video, "(b k) c h w -> b k c h w", k=numbers.shape[1])[:count, :2]
        pictures = model.decode_signal(torch.cat([x0.audio[:count, None], video], 1).flatten(0, 1))
        return rearrange(pictures.float(), "(b s) c h w -> b c s h w", s=3)


def real_triples(batch: Mapping[str, Tensor], numbers: Int[Tensor, "b k"]) -> Float[Tensor, "b 3 s h2 w2"]:
    """The real audio image and the first two drawn frames of the first len(numbers) clips."""
    if "frames" not in batch or "picture" not in batch:
        raise ValueError("HierarchicalObjective: the adversary takes pixels; the batch needs `frames` and `picture`")
    count = len(numbers)
    return torch.cat([batch["picture"][:count, :, None], select_frames(batch["frames"][:count], numbers[:, :2])], 2)


def select_frames(frames: Float[Tensor, "b c t h w"], numbers: Int[Tensor, "b k"]) -> Float[Tensor, "b c k h w"]:
    """Select frames of each clip by their numbers."""
    return torch.stack([clip[:, own] for clip, own in zip(frames, numbers, strict=True)])


def draw_frames(total: int, b: int, count: int, generator: torch.Generator | None) -> Int[Tensor, "b k"]:
    """Draw `count` different frame numbers out of `total` for each of `b` clips, in ascending order.

    Deviation: in the released code they may be equal; the paper has i < j.
    """
    if count > total:
        raise ValueError(f"cannot draw {count} frames of a window of {total}")
    device = "cpu" if generator is None else generator.device
    return torch.rand(b, total, generator=generator, device=device).argsort(1)[:, :count].sort(1).values


def draw_uniform(count: int, generator: torch.Generator | None, device: torch.device) -> Float[Tensor, "n"]:
    """Uniform numbers in [0, 1), drawn on the generator's device."""
    return torch.rand(count, generator=generator, device="cpu" if generator is None else generator.device).to(device)


_WARNED: set[str] = set()


def warn_once(text: str) -> None:
    """Log a warning once per process."""
    if text not in _WARNED:
        _WARNED.add(text)
        log.warning(text)

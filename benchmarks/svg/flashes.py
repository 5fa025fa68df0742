"""Table I of the SVG baseline in miniature: do joins convey when something happens, and does gamma matter?

    python -m benchmarks svg.flashes [--steps 150] [--clips 48] [--local] [--json FILE] [--variants cmc_pe]

Latents are drawn, not encoded: eight frames of 4x4 places, in one of which all places (--local: the four in the middle) are
bright, and sixteen steps of sound, two of which are loud at the same time. Both U-Nets are new, tiny, and trained together with
the joins by the objective of svg.scenes, as many steps for each way of joining. Then both streams are made from noise at several
gammas, and each from the other. Told are the shares of clips whose brightest frame and loudest step coincide, by chance an
eighth, with 95 % intervals from a bootstrap over clips.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sonovid.core.av import AV
from sonovid.core.condition import Condition
from sonovid.diffusion import guidance, sampler
from sonovid.diffusion.objective import total_loss
from sonovid.models.svg import SVG
from sonovid.models.svg.model import audioldm_config, motion_config
from sonovid.recipes.svg.config import ObjectiveConfig
from sonovid.recipes.svg.train import SCHEDULE, build_objective

FRAMES, STEPS, CHANNELS, BRIGHT = 8, 16, 4, 3.0
GAMMAS = (1.0, 1.5, 2.0)


def network(variant: str) -> SVG:
    """Tiny, and both U-Nets new."""
    own = {"in_channels": CHANNELS, "norm_groups": 8, "layers": 1, "heads": 2}
    video, audio = motion_config((32, 32), cross_attention_dim=8, **own), audioldm_config((32, 32), text_width=8, **own)
    torch.manual_seed(0)
    return SVG(video, audio, variant=variant, context_channels=64, mults=(1, 2), text_words=2, head_width=(16, 16))


def told(b: int) -> Condition:
    """No words; both streams are made."""
    on = torch.ones(b, dtype=torch.bool)
    return Condition(torch.zeros(b, 2, 8), torch.zeros(b, 2, dtype=torch.bool), AV(on, on), torch.zeros(b, 8))


def drawn(b: int, local: bool, generator: torch.Generator) -> tuple[AV, Tensor]:
    """Latents, and the frame in which something happens in each."""
    when = torch.randint(0, FRAMES, (b,), generator=generator)
    video = 0.3 * torch.randn(b, CHANNELS, FRAMES, 4, 4, generator=generator)
    audio = 0.3 * torch.randn(b, CHANNELS, STEPS, 1, generator=generator)
    places = slice(1, 3) if local else slice(None)
    for i, k in enumerate(when.tolist()):
        video[i, :, k, places, places] += BRIGHT
        audio[i, :, 2 * k : 2 * k + 2] += BRIGHT
    return AV(video, audio), when


def trained(variant: str, steps: int, local: bool) -> SVG:
    """As long as the other."""
    model, generator = network(variant).train().requires_grad_(True), torch.Generator().manual_seed(1)
    regress = build_objective(ObjectiveConfig(predict="v", text_dropout=0.0))
    optimizer, began = torch.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.99)), time.process_time()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * (1 - step / steps)
        x0, _ = drawn(16, local, generator)
        total_loss(regress(model, {"x0": x0, "condition": told(16)}, generator)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    x0, _ = drawn(64, local, generator)
    pairs = regress.compare_shuffled(model.eval(), {"x0": x0, "condition": told(64)}, generator)
    losses = {name: round(value.nanmean().item(), 3) for name, value in pairs.named_losses().items()}
    print(f"{variant}: {steps} steps in {time.process_time() - began:.0f} s of processor; losses {losses}", flush=True)
    return model


def moments(x: AV) -> AV:
    """The brightest frame and the loudest pair of steps of each clip, as frames."""
    return AV(x.video.mean((1, 3, 4)).argmax(1), x.audio.mean((1, 3)).unflatten(1, (FRAMES, 2)).mean(2).argmax(1))


@torch.no_grad()
def made(model: SVG, given: AV, gamma: float, count: int) -> AV:
    """Latents from noise, 25 steps, with a stream held where one is given."""
    generator = torch.Generator().manual_seed(9)
    eps = AV(
        torch.randn(count, CHANNELS, FRAMES, 4, 4, generator=generator),
        torch.randn(count, CHANNELS, STEPS, 1, generator=generator),
    )
    denoise = sampler.build_denoiser(model, SCHEDULE, "v", told(count))
    held = guidance.clean_conditioning(denoise, given)
    return sampler.sample(held, eps, SCHEDULE, sampler.warp_times(sampler.uniform_times(25), gamma))


def share(hits: np.ndarray) -> list[float]:
    """Mean and interval."""
    rng = np.random.default_rng(0)
    low, high = np.percentile([rng.choice(hits, len(hits)).mean() for _ in range(2000)], [2.5, 97.5])
    return [round(float(v), 3) for v in (hits.mean(), low, high)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--clips", type=int, default=48)
    parser.add_argument("--local", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--variants", nargs="+", choices=("cross_attention", "cmc_pe"), default=["cross_attention", "cmc_pe"])
    args = parser.parse_args()
    torch.set_num_threads(1)
    x0, when = drawn(args.clips, args.local, torch.Generator().manual_seed(8))
    found = {}
    for variant in args.variants:
        model = trained(variant, args.steps, args.local)
        for gamma in GAMMAS:
            at = moments(made(model, AV(None, None), gamma, args.clips))
            found[f"{variant}, both, gamma {gamma:g}"] = share((at.video == at.audio).numpy().astype(float))
        for name, given in (("sound for pictures", AV(x0.video, None)), ("pictures for sound", AV(None, x0.audio))):
            at = moments(made(model, given, 1.0, args.clips))
            new = at.audio if name.startswith("sound") else at.video
            found[f"{variant}, {name}"] = share((new == when).numpy().astype(float))
        for name, values in found.items():
            if name.startswith(variant):
                print(f"{name:40s} {values[0]:.3f} [{values[1]:.3f}, {values[2]:.3f}]", flush=True)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""What CMMD's negatives cost and what they weigh: memory kept for the gradient, time, and their share of the gradient itself.

    python -m benchmarks cmmd.negatives [--model DIR] [--size scenes|paper] [--batch 2] [--counts 0 1 2] [--checkpointing]

Memory is what the backward pass needs of the forward pass: every tensor that autograd keeps, each storage counted once, weights
left out; and the largest resident memory of the process so far, so counts should rise. --size paper: the published network on 18
frames of 16x16 latents. With --model, of a trained network, also how much the negatives weigh: |gradient of their terms, times
eta| over |gradient of the plain loss|, at the same noises, on scenes that no training has seen.
"""

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sonovid.core.av import AV
from sonovid.core.condition import Condition
from sonovid.diffusion.objective import total_loss
from sonovid.models.cmmd import unet as cmmd
from sonovid.pipelines.pipeline import SoundingVideoPipeline
from sonovid.recipes import cmmd as recipes
from sonovid.recipes.cmmd.config import CodecConfig, ContrastiveConfig
from sonovid.recipes.cmmd.crops import add_margin, find_window
from sonovid.recipes.cmmd.train import build_audio_codec, build_network, build_objective, load_video_codec

from benchmarks.cmmd.guidance import MARGIN, SEED, WORLDS  # isort: skip


def kept(run: Any, weights: set[int]) -> tuple[Tensor, int]:
    """What `run` returns, and the bytes that autograd keeps for it."""
    storages: dict[int, int] = {}

    def pack(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in weights:
            storages[storage.data_ptr()] = storage.nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        result = run()
    return result, sum(storages.values())


def scene_crops(pipe: SoundingVideoPipeline, batch: int) -> AV:
    """Final latents of longer crops of scenes that no training has seen."""
    import numpy as np

    from sonovid.data.scenes import render

    clips = [render(WORLDS[i % len(WORLDS)], SEED + i, add_margin(pipe.geometry, MARGIN)) for i in range(batch)]
    frames = torch.from_numpy(np.stack([c.frames for c in clips])).movedim(-1, 1).float() / 127.5 - 1
    waves = torch.from_numpy(np.stack([c.waveform[0] for c in clips])).float()
    with torch.no_grad():
        video = pipe.video_codec.whiten(pipe.video_codec.encode(frames)).float()
        return AV(video, pipe.audio_codec.whiten(pipe.audio_codec.encode(waves)).float())


def gradient(loss: Tensor, network: torch.nn.Module) -> Tensor:
    """The gradient of a loss in all weights, flat; its graph is kept."""
    grads = torch.autograd.grad(loss, list(network.parameters()), allow_unused=True, retain_graph=True)
    return torch.cat([g.flatten() for g in grads if g is not None])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--size", choices=("scenes", "paper"), default="scenes")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--counts", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--eta", type=float, default=5e-5)
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    recipe = recipes.scenes() if options.size == "scenes" else recipes.paper()
    codecs = AV(load_video_codec(CodecConfig()), build_audio_codec(recipe.codecs, 16000))
    inner = find_window(recipe.geometry, MARGIN, codecs)
    if options.model:
        pipe = SoundingVideoPipeline.from_pretrained(options.model)
        model, crop = pipe.denoiser.requires_grad_(True).train(), scene_crops(pipe, options.batch)
    else:
        model = (cmmd.CMMD(**cmmd.paper()) if options.size == "paper" else build_network(recipe, codecs)).train()
        c, f, size = model.config.video, model.config.audio[1], 16 if options.size == "paper" else 8
        ends = AV(*(s + n + s for s, n in zip(inner.start, inner.length, strict=True)))
        shapes = AV((c, ends.video, size, size), (1, ends.audio, f))
        crop = AV(*(torch.randn(options.batch, *shape, generator=torch.Generator().manual_seed(0)) for shape in shapes))
    if options.checkpointing:
        model.enable_gradient_checkpointing()
    generated = AV(*(torch.ones(options.batch, dtype=torch.bool) for _ in range(2)))
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    table: dict[str, dict[str, float]] = {}
    for number in options.counts:
        contrast = ContrastiveConfig(eta=options.eta if number else 0.0, count=max(1, number))
        regress = build_objective(recipe.regression, contrast, inner)
        batch = {"x0": crop if number else inner(crop), "condition": Condition.empty(generated)}
        generator = torch.Generator().manual_seed(0)
        began = time.process_time()
        scored, size_kept = kept(lambda r=regress, b=batch, g=generator: r(model, b, g), weights)
        row = {"megabytes kept": size_kept / 2**20}
        if number and options.model:
            parts = [torch.stack([scored.losses[n].mean() for n in names]).sum() for names in (AV._fields, regress.weights)]
            true, wrong = (gradient(part, model) for part in parts)
            row |= {
                "share of the gradient": options.eta * float(wrong.norm() / true.norm()),
                "cosine": float(torch.nn.functional.cosine_similarity(wrong, true, dim=0)),
                "loss of true pairs": float(parts[0].detach()),
                "loss of negatives": float(parts[1].detach()) / 2,
            }
        else:
            total_loss(scored, getattr(regress, "weights", {})).backward()
            row["seconds of forward and backward"] = time.process_time() - began
            row["megabytes resident"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            model.zero_grad(set_to_none=True)
        table[str(number)] = row
        print(f"{number} negatives of each stream: " + ", ".join(f"{k} {v:.4g}" for k, v in row.items()), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"size": options.size, "batch": options.batch, "figures": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""What joining two U-Nets costs (SVG baseline): operations, time of a step, memory of training.

    python -m benchmarks svg.cost [--flops] [--time] [--memory] [--repeat 7] [--threads 1]

Without options, all three.

--flops: at the published size, on no memory, by torch's own counter; twice the multiply-adds. A clip of 32 frames of 256x256 and
    its 4 s of sound. "alone" is both U-Nets as diffusers runs them, which projects the same words for every frame. A step of
    sampling is one evaluation of a doubled batch, whose halves, with words and without, share what connectors send.
--time: the same on a pair about a fifth as wide, on the CPU. Joint and alone take turns, and the fastest of each counts; with
    --threads 1 only the processor's own time.
--memory: of a training step of one clip at the published size, under bf16 autocast: every storage is followed from its making to
    its end, on fake tensors, forward and backward. The same count on real tensors of a tiny pair stands beside its fake one.
    What the CPU's operators keep for the backward pass is counted; a GPU's may keep a little more or less.
"""

import argparse
import contextlib
from collections.abc import Callable
from unittest import mock

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.timing import clock
from sonovid.core.av import AV
from sonovid.models.svg import SVG
from sonovid.models.svg import model as joint
from sonovid.training.memory import StorageTracker

VARIANTS = ("cmc_pe", "cross_attention")
# bf16 products that an A100 does in a second, and the share of them that such a network reaches: an assumption, not measured.
PEAK, SHARE = 312e12, 0.4


def published(b: int = 1) -> tuple[AV, AV]:
    """Latents of 32 frames of 256x256 and 4 s of sound, and their times."""
    return AV(torch.randn(b, 4, 32, 32, 32), torch.randn(b, 8, 100, 16)), AV(torch.full((b,), 0.5), torch.full((b,), 0.5))


def scaled(variant: str) -> dict:
    """A pair of the published form, about a fifth as wide."""
    return {
        "video": joint.motion_config((64, 128, 256, 256), cross_attention_dim=160, in_channels=4, norm_groups=32),
        "audio": joint.audioldm_config((64, 128, 192, 320), text_width=128, in_channels=8, norm_groups=32),
        "variant": variant,
        "context_channels": 256,
    }


def run_bases(model: SVG, x: AV, t: AV) -> None:
    """Both U-Nets by diffusers alone: without what joins them, and with words projected for each frame again."""
    words, pooled = model.text_inputs(None, len(x.video))
    entries = t.map(joint.to_timesteps)
    filled = torch.nn.functional.pad(x.audio, (0, 0, 0, model.audio_length(x.audio.shape[2]) - x.audio.shape[2]))
    model.unets["video"](x.video, entries.video, words.repeat_interleave(x.video.shape[2], 0))
    model.unets["audio"](filled, entries.audio, None, class_labels=pooled)


def flops(work: Callable[[], object]) -> dict[str, float]:
    """Operations by part, in billions."""
    with FlopCounterMode(display=False, depth=8) as counter:
        work()
    found = {name: sum(by.values()) / 1e9 for name, by in counter.get_flop_counts().items()}
    parts = {
        "all": found["Global"],
        "video connector": found.get("SVG.connectors.video", 0),
        "audio connector": found.get("SVG.connectors.audio", 0),
    }
    return parts


def count_operations() -> None:
    """The overhead at the published size."""
    for variant in VARIANTS:
        with torch.device("meta"):
            model = SVG(**joint.paper(variant)).eval()
            one, two = published(), published(2)
        with torch.no_grad():
            whole = flops(lambda: model(*one))  # noqa: B023 (called at once)
            alone, alone_guided = (flops(lambda: run_bases(model, *given))["all"] for given in (one, two))  # noqa: B023
            model.bases_only = True
            sparing = flops(lambda: model(*one))["all"]  # noqa: B023
            model.bases_only = False
            # Tensors without values cannot be compared; those of guidance are equal.
            with mock.patch.object(joint, "doubled", return_value=True):
                guided = flops(lambda: model(*two))["all"]  # noqa: B023
        connectors = whole["video connector"] + whole["audio connector"]
        print(
            f"{variant}: alone {alone:.0f} G, joint {whole['all']:.0f} G (+{whole['all'] / alone - 1:.1%}; +"
            f"{whole['all'] / sparing - 1:.1%} over the two with words projected once a clip): video connector "
            f"{whole['video connector']:.0f}, audio connector {whole['audio connector']:.0f}, joins "
            f"{whole['all'] - sparing - connectors:.0f}, words {sparing - alone:.0f}; a guided step {alone_guided:.0f} G, joint "
            f"{guided:.0f} G (+{guided / alone_guided - 1:.1%})",
            flush=True,
        )


def measure_time(repeat: int, threads: int, frames: int = 16) -> None:
    """The overhead in time, on a pair that a CPU runs."""
    for variant in VARIANTS:
        torch.manual_seed(0)
        model = SVG(**scaled(variant)).eval()
        x = AV(torch.randn(1, 4, frames, 32, 32), torch.randn(1, 8, 3 * frames, 16))
        t = AV(torch.full((1,), 0.5), torch.full((1,), 0.5))
        for name, copies in (("one evaluation", 1), ("a guided step", 2)):
            inputs = [pair.map(lambda z: z.repeat(copies, *[1] * (z.ndim - 1))) for pair in (x, t)]  # noqa: B023
            rounds = []
            with torch.inference_mode():
                for _ in range(repeat + 1):
                    joined = clock(lambda: model(*inputs), threads)  # noqa: B023
                    rounds.append((joined, clock(lambda: run_bases(model, *inputs), threads)))  # noqa: B023
            whole, alone = (min(taken) for taken in zip(*rounds[1:], strict=True))
            print(f"{variant}, {name}: alone {alone:.2f} s, joint {whole:.2f} s (+{whole / alone - 1:.1%})", flush=True)


def step_memory(settings: dict, inputs: Callable[[], tuple[AV, AV]], *, checkpointing: bool, fake: bool) -> tuple[float, float]:
    """GiB that a forward pass keeps, and the most that forward and backward hold at a time, both beside the parameters."""
    with FakeTensorMode() if fake else contextlib.nullcontext():
        model = SVG(**settings).train().freeze_bases()
        if checkpointing:
            model.enable_gradient_checkpointing()
        given = inputs()
        with StorageTracker([*model.parameters(), *model.buffers()]) as storages:
            with torch.autocast("cpu", torch.bfloat16):
                made = model(*given).prediction
            kept = storages.now
            (made.video.square().mean() + made.audio.square().mean()).backward()
    return kept / 2**30, storages.peak / 2**30


def estimate_training() -> None:
    """Memory and time of a step of the published training."""
    tiny = lambda: (  # noqa: E731
        AV(torch.randn(1, 8, 4, 8, 8), torch.randn(1, 16, 8, 4)),
        AV(torch.full((1,), 0.5), torch.full((1,), 0.5)),
    )
    for fake in (True, False):
        kept, most = step_memory(joint.tiny(), tiny, checkpointing=False, fake=fake)
        print(
            f"tiny pair, {'fake' if fake else 'real'} tensors: kept {1024 * kept:.2f} MiB, most {1024 * most:.2f} MiB", flush=True
        )
    with torch.device("meta"):
        model = SVG(**joint.paper()).train().freeze_bases()
    every = sum(p.numel() for p in model.parameters())
    trained = sum(p.numel() for _, p in model.trainable())
    fixed = {"parameters": every, "gradients": trained, "Adam": 2 * trained, "average": trained}
    held = {name: 4 * count / 2**30 for name, count in fixed.items()}
    print(
        f"{every / 1e6:.0f} M parameters, {trained / 1e6:.0f} M trained; GiB: "
        + ", ".join(f"{k} {v:.1f}" for k, v in held.items())
    )
    base = sum(held.values())
    for checkpointing in (False, True):
        kept, most = step_memory(joint.paper(), published, checkpointing=checkpointing, fake=True)
        print(
            f"one clip, {'checkpointed' if checkpointing else 'plain'}: forward keeps {kept:.1f} GiB, most {most:.1f} GiB beside "
            f"the parameters; in all at most {base + most:.1f} GiB",
            flush=True,
        )
    with torch.device("meta"):
        x, t = published()

    def step(checkpointing: bool) -> float:
        def work() -> None:
            # Self-conditioning: for half of the samples, and so in nearly every batch, one more evaluation without gradients.
            with torch.no_grad():
                model(x, t)
            made = model(x, t).prediction
            (made.video.square().mean() + made.audio.square().mean()).backward()

        (model.enable_gradient_checkpointing if checkpointing else model.disable_gradient_checkpointing)()
        return flops(work)["all"] / 1e3

    for checkpointing in (False, True):
        total = step(checkpointing)
        print(
            f"one clip, {'checkpointed' if checkpointing else 'plain'}: {total:.1f} T operations a step, "
            f"{total * 1e12 / PEAK / SHARE:.2f} s on an A100 at {SHARE:.0%} of {PEAK / 1e12:.0f} T/s",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("flops", "time", "memory"):
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    every = not (options.flops or options.time or options.memory)
    if options.flops or every:
        count_operations()
    if options.time or every:
        measure_time(options.repeat, options.threads)
    if options.memory or every:
        estimate_training()


if __name__ == "__main__":
    main()

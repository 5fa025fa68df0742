"""sonovid timesteps: losses of both streams over time, and the gamma of timestep adjustment (SVG, Fig. 2)."""

import argparse
from functools import reduce
from pathlib import Path
from typing import Any

DESCRIPTION = """\
Measure the loss of a joint model in each stream over the diffusion time, with and without timestep adjustment, and estimate the
gamma whose adjusted times bring the two curves closest together, with its confidence interval over clips. No gamma is estimated
if the losses do not fall with the time, or if the curves are closest at an end of the range.

  sonovid timesteps MODEL --data CLIPS --figure losses.png
  sonovid timesteps MODEL --save               (MODEL samples with that gamma from then on)
"""
# Scenes that the packaged model was not trained on.
DEFAULT_DATA = "scenes:hits+bounces:64:seed=95000000"


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "timesteps",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("model", nargs="?", metavar="MODEL", help="model folder or Hub repository; default: the packaged model")
    parser.add_argument(
        "--data", default=DEFAULT_DATA, help="clips: a folder, a manifest or a specification of scenes; default: held-out scenes"
    )
    parser.add_argument("--clips", type=int, default=64, help="number of clips; default: 64")
    parser.add_argument("--draws", type=int, default=16, help="timesteps per clip; default: 16")
    parser.add_argument("--gamma", type=float, default=1.5, help="another gamma to compare with; default: 1.5, as in the paper")
    parser.add_argument("--seed", type=int, default=0, help="seed of noise and timesteps; default: 0")
    parser.add_argument("--figure", type=Path, help="write the curves as an image, as in the paper's Fig. 2")
    parser.add_argument("--json", type=Path, help="write the curves and numbers as JSON")
    parser.add_argument("--save", action="store_true", help="write the estimated gamma into the model folder")


def run(args: argparse.Namespace) -> None:
    """Measure, estimate and report."""
    import json

    from sonovid.core import atomic
    from sonovid.core.av import AV
    from sonovid.diffusion.timestep_adjustment import curve_gap, estimate_gamma, loss_curve

    if args.clips < 1 or args.draws < 1 or args.gamma <= 0:
        raise ValueError("timesteps: --clips and --draws must be at least 1, and --gamma above zero")
    if args.save and (args.model is None or not Path(args.model).is_dir()):
        raise ValueError(
            f"timesteps --save: {args.model or 'the packaged model'} is not a folder that can be changed; copy it first"
        )
    losses = collect_losses(args.model, args.data, args.clips, args.draws, args.seed)
    curves = AV(*(loss_curve(*pair[:2]) for pair in losses))
    refusal, estimate = "", None
    try:
        estimate = estimate_gamma(losses, args.draws, seed=args.seed)
    except ValueError as error:
        refusal = str(error)
    best = None if estimate is None else estimate.gamma
    print(f"{'time':>6}  {'video':>6}  {'audio':>6}   loss relative to its value at the smallest time")
    for t in (0.1, 0.3, 0.5, 0.7, 0.9):
        print(f"{t:6.1f}  {float(curves.video(t)):6.3f}  {float(curves.audio(t)):6.3f}")
    gaps = {gamma: curve_gap(curves, gamma) for gamma in dict.fromkeys([1.0, args.gamma, *([] if best is None else [best])])}
    for gamma, value in gaps.items():
        nearest = "" if estimate is None or gamma != best else f"  <- closest; 95 % [{estimate.low:.2f}, {estimate.high:.2f}]"
        print(f"gamma {gamma:5.2f}: the curves are {value:.3f} apart on average{nearest}")
    if refusal:
        print(refusal)
    if args.json:
        points = {n: {"times": c.times.tolist(), "loss": c.loss.tolist()} for n, c in zip(AV._fields, curves, strict=True)}
        found = {"curves": points, "gaps": {str(g): v for g, v in gaps.items()}, "gamma": best, "samples": len(losses.video[0])}
        found |= {"interval": None if estimate is None else [estimate.low, estimate.high], "refused": refusal}
        atomic.write_text(args.json, json.dumps(found, indent=2) + "\n")
    if args.figure:
        plot_curves(curves, list(gaps), args.figure)
    if args.save and estimate is None:
        raise ValueError(f"timesteps --save: {refusal}")
    if args.save and estimate is not None:
        save_gamma(Path(args.model), estimate.gamma)
        if estimate.low <= 1 <= estimate.high:
            print("the interval contains 1: adjustment may be unnecessary")


def collect_losses(model: str | None, data: str, clips_most: int, draws: int, seed: int) -> Any:
    """Measure the denoising losses of both streams on clips.

    Args:
        model: Model folder or repository; None: the packaged model.
        data: Clips: a folder, a manifest or a specification of scenes.
        clips_most: The most clips that are used.
        draws: Timesteps drawn per clip.
        seed: Seed of noise and timesteps.

    Returns:
        For each stream (AV): timesteps, losses, and the losses of a predictor that knows only the noise level.
    """
    import torch

    from sonovid.core import progress
    from sonovid.core.av import AV, Task
    from sonovid.data import clips, manifest
    from sonovid.diffusion.timestep_adjustment import measure_losses, uninformed_losses
    from sonovid.pipelines.pipeline import SoundingVideoPipeline
    from sonovid.recipes.latent_data import encode_clips

    pipe = SoundingVideoPipeline.from_pretrained(model)
    windows = clips.find_windows(manifest.read(data), pipe.geometry)[:clips_most]
    generator = torch.Generator().manual_seed(seed)
    pairs, times = [], []
    for _, clip in clips.stream_clips(windows, pipe.geometry):
        if clip is None:
            continue
        raw = encode_clips([clip], codec=pipe.codec, device=pipe.device, precision="no").map(torch.Tensor.float)
        x0 = pipe.codec.whiten(raw).map(lambda x: x.expand(draws, *x.shape[1:]))
        condition = reduce(lambda one, other: one.concat(other), [pipe.prompt_condition(clip.caption, Task.JOINT)] * draws)
        pairs.append((x0, condition))
        # Stratified over the draws of each clip, so that all of [0, 1] is covered.
        spread = (torch.arange(draws) + torch.rand(2, draws, generator=generator)) / draws
        shuffled = spread[1][torch.randperm(draws, generator=generator)]
        times.append(AV(*(t.clamp(min=1e-3).to(pipe.device) for t in (spread[0], shuffled))))
    seen = progress.bar(pairs, desc="clips")
    found = measure_losses(pipe.denoiser, pipe.schedule, pipe.config.predict, seen, times, generator)
    return found.map(lambda pair, schedule: (*pair, uninformed_losses(schedule, pair[0])), pipe.schedule)


def save_gamma(model: Path, gamma: float) -> None:
    """Write gamma into the index of a model folder, as its default for sampling."""
    import json

    from sonovid.core import atomic
    from sonovid.pipelines import loading

    index = model / loading.INDEX
    found = json.loads(index.read_text())
    found["options"] = {**found.get("options", {}), "gamma": round(gamma, 3)}
    atomic.write_text(index, json.dumps(found, indent=2, sort_keys=True) + "\n")
    print(f"{model}: samples with gamma {gamma:.3f} from now on")


def plot_curves(curves: Any, gammas: list[float], path: Path) -> None:
    """Plot both curves over the global time, each at its local time, with one panel per gamma."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ValueError("--figure needs matplotlib: pip install 'sonovid[eval]'") from None
    import numpy as np

    from sonovid.core import atomic
    from sonovid.diffusion.timestep_adjustment import curve_gap

    figure = Figure(figsize=(3.4 * len(gammas), 3), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(gammas), sharey=True))
    t = np.linspace(0, 1, 200)
    for axis, gamma in zip(axes, gammas, strict=True):
        axis.plot(t, curves.video(t**gamma**0.5), label="video")
        axis.plot(t, curves.audio(t**gamma**-0.5), label="audio")
        axis.set(
            title=f"gamma {gamma:.2f}, {curve_gap(curves, gamma):.3f} apart", xlabel="global time", xlim=(0, 1), ylim=(0, None)
        )
    axes[0].set_ylabel("loss / loss at 0")
    axes[0].legend()
    with atomic.atomic_file(path) as temporary:
        figure.savefig(temporary, dpi=110)

"""sonovid timesteps: the loss of both streams over time, and the gamma that brings them into step (SVG, Fig. 2)."""

import argparse
from functools import reduce
from pathlib import Path
from typing import Any

DESCRIPTION = """\
What a joint model errs in the noise of each stream, over the noise time, with and without timestep adjustment,
and the gamma whose bent times bring the two curves nearest to each other, with its interval over clips. A model whose losses do
not fall with the time, or whose curves are nearest at an end of the range, is given none.

  sonovid timesteps MODEL --data CLIPS --figure losses.png
  sonovid timesteps MODEL --save               (MODEL samples with that gamma from then on)
"""
# Scenes that no shipped model was trained on.
DEFAULT_DATA = "scenes:hits+bounces:64:seed=95000000"


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "timesteps",
        help="losses over time of a joint model, and the gamma that brings its streams into step",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("model", nargs="?", metavar="MODEL", help="a folder or OWNER/NAME; default: the packaged model")
    parser.add_argument("--data", default=DEFAULT_DATA, help="clips: a folder, a manifest or a specification of scenes")
    parser.add_argument("--clips", type=int, default=64, help="of these clips the first so many; default: 64")
    parser.add_argument("--draws", type=int, default=16, help="times drawn for each clip; default: 16")
    parser.add_argument("--gamma", type=float, default=1.5, help="another gamma to compare with; default: the paper's 1.5")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figure", type=Path, help="the curves as a picture, as in the paper's Fig. 2")
    parser.add_argument("--json", type=Path, help="the curves and figures as JSON")
    parser.add_argument("--save", action="store_true", help="the gamma found becomes the model folder's own")


def run(args: argparse.Namespace) -> None:
    """Measure, choose and show."""
    import json

    from sonovid.core import atomic
    from sonovid.core.av import AV
    from sonovid.diffusion.timestep_adjustment import estimate_gamma, loss_curve, curve_gap

    if args.clips < 1 or args.draws < 1 or args.gamma <= 0:
        raise ValueError("timesteps: --clips and --draws have to be at least 1, and --gamma above zero")
    if args.save and (args.model is None or not Path(args.model).is_dir()):
        raise ValueError(f"timesteps --save: {args.model or 'the packaged model'} is no folder to be changed; copy it first")
    losses = measure(args.model, args.data, args.clips, args.draws, args.seed)
    curves = AV(*(loss_curve(*pair[:2]) for pair in losses))
    refused, chosen = "", None
    try:
        chosen = estimate_gamma(losses, args.draws, seed=args.seed)
    except ValueError as error:
        refused = str(error)
    best = None if chosen is None else chosen.gamma
    print(f"{'time':>6}  {'video':>6}  {'audio':>6}   loss of the noise, over its value at the smallest time")
    for t in (0.1, 0.3, 0.5, 0.7, 0.9):
        print(f"{t:6.1f}  {float(curves.video(t)):6.3f}  {float(curves.audio(t)):6.3f}")
    gaps = {gamma: curve_gap(curves, gamma) for gamma in dict.fromkeys([1.0, args.gamma, *([] if best is None else [best])])}
    for gamma, value in gaps.items():
        nearest = "" if chosen is None or gamma != best else f"  <- the nearest; 95 % [{chosen.low:.2f}, {chosen.high:.2f}]"
        print(f"gamma {gamma:5.2f}: the curves are {value:.3f} apart on average{nearest}")
    if refused:
        print(refused)
    if args.json:
        points = {n: {"times": c.times.tolist(), "loss": c.loss.tolist()} for n, c in zip(AV._fields, curves, strict=True)}
        found = {"curves": points, "gaps": {str(g): v for g, v in gaps.items()}, "gamma": best, "samples": len(losses.video[0])}
        found |= {"interval": None if chosen is None else [chosen.low, chosen.high], "refused": refused}
        atomic.write_text(args.json, json.dumps(found, indent=2) + "\n")
    if args.figure:
        draw(curves, list(gaps), args.figure)
    if args.save and chosen is None:
        raise ValueError(f"timesteps --save: {refused}")
    if args.save and chosen is not None:
        save(Path(args.model), chosen.gamma)
        if chosen.low <= 1 <= chosen.high:
            print("the interval holds 1: there may be nothing to adjust")


def measure(model: str | None, data: str, clips_most: int, draws: int, seed: int) -> Any:
    """Times, losses, and the losses of the guess by the noise's level alone, of both streams: an AV of three arrays each."""
    import torch

    from sonovid.core import progress
    from sonovid.core.av import AV, Task
    from sonovid.data import clips, manifest
    from sonovid.diffusion.timestep_adjustment import measure_losses, uninformed_losses
    from sonovid.pipelines.pipeline import SoundingVideoPipeline
    from sonovid.recipes.latent_training import encoded

    pipe = SoundingVideoPipeline.from_pretrained(model)
    windows = clips.windows(manifest.read(data), pipe.geometry)[:clips_most]
    generator = torch.Generator().manual_seed(seed)
    pairs, times = [], []
    for _, clip in clips.stream(windows, pipe.geometry):
        if clip is None:
            continue
        raw = encoded([clip], codec=pipe.codec, device=pipe.device, precision="no").map(torch.Tensor.float)
        x0 = pipe.codec.whiten(raw).map(lambda x: x.expand(draws, *x.shape[1:]))
        condition = reduce(lambda one, other: one.beside(other), [pipe.told(clip.caption, Task.JOINT)] * draws)
        pairs.append((x0, condition))
        # Evenly spread over each clip's draws, so that no stretch of time goes without.
        spread = (torch.arange(draws) + torch.rand(2, draws, generator=generator)) / draws
        shuffled = spread[1][torch.randperm(draws, generator=generator)]
        times.append(AV(*(t.clamp(min=1e-3).to(pipe.device) for t in (spread[0], shuffled))))
    seen = progress.bar(pairs, desc="clips")
    found = measure_losses(pipe.denoiser, pipe.schedule, pipe.config.predict, seen, times, generator)
    return found.map(lambda pair, schedule: (*pair, uninformed_losses(schedule, pair[0])), pipe.schedule)


def save(model: Path, gamma: float) -> None:
    """Write a gamma into a model folder's index, as what its pipeline samples with."""
    import json

    from sonovid.core import atomic
    from sonovid.pipelines import loading as folders

    index = model / folders.INDEX
    found = json.loads(index.read_text())
    found["options"] = {**found.get("options", {}), "gamma": round(gamma, 3)}
    atomic.write_text(index, json.dumps(found, indent=2, sort_keys=True) + "\n")
    print(f"{model}: samples with gamma {gamma:.3f} from now on")


def draw(curves: Any, gammas: list[float], path: Path) -> None:
    """The curves at their local times over the global time, a panel for each gamma."""
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
        axis.set(title=f"gamma {gamma:.2f}, {curve_gap(curves, gamma):.3f} apart", xlabel="global time", xlim=(0, 1), ylim=(0, None))
    axes[0].set_ylabel("loss / loss at 0")
    axes[0].legend()
    with atomic.new_file(path) as aside:
        figure.savefig(aside, dpi=110)

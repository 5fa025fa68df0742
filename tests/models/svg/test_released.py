"""Agreement with the released code on tiny random checkpoints in the released layout."""

import json
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sonovid.core.av import AV
from sonovid.core.condition import Condition
from sonovid.diffusion.guidance import classifier_free_guidance
from sonovid.diffusion.sampler import build_denoiser, sample, table_times
from sonovid.diffusion.schedule import Tabulated
from sonovid.models.svg import SVG, released

PARITY = Path(__file__).parents[4] / "shared" / "parity"
CASES = ("svg_cmcpe_tiny", "svg_codi_tiny")
WEIGHTS = "diffusion_pytorch_model.safetensors"

pytestmark = pytest.mark.skipif(not PARITY.is_dir(), reason="the released code's outputs are not at hand")


@cache
def imported(case):
    own, bases = PARITY / case / "case_a", AV(*(PARITY / "svg_base_tiny" / "case_a" / name for name in ("unet_v", "unet_a")))
    settings = released.settings(
        json.loads((own / "unet_svg" / "config.json").read_text()),
        bases.map(lambda folder: json.loads((folder / "config.json").read_text())),
    )
    model = SVG(**settings).eval()
    released.load_weights(model, load_file(own / "unet_svg" / WEIGHTS), bases.map(lambda folder: load_file(folder / WEIGHTS)))
    return model


def tensors(case, name):
    return load_file(PARITY / case / "case_a" / f"{name}.safetensors")


def told(io):
    b, k, _ = io["text_video"].shape
    on = torch.ones(b, dtype=torch.bool)
    return Condition(io["text_video"], torch.ones(b, k, dtype=torch.bool), AV(on, on), io["text_audio"])


def streams(values, name):
    return AV(values[f"{name}_video"], values[f"{name}_audio"])


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_outputs_agree(case):
    model, io, extra = imported(case), tensors(case, "io"), tensors(case, "io_extra")
    times = streams(io, "t").map(lambda n: (n + 1) / 1000)
    for previous, wanted in ((streams(io, "x0hat"), streams(io, "eps")), (None, streams(extra, "first.eps"))):
        found = model(streams(io, "x"), times, told(io), previous).prediction
        for ours, theirs in zip(found, wanted, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_connectors_and_fusion_modules_agree(case):
    model, io, wanted = imported(case), tensors(case, "io"), tensors(case, "intermediates")
    found = {}

    def keep(name):
        return lambda module, inputs, output: found.__setitem__(name, (inputs, output))

    hooks = [m.register_forward_hook(keep(name)) for name, m in model.named_modules()]
    try:
        model(streams(io, "x"), streams(io, "t").map(lambda n: (n + 1) / 1000), told(io), streams(io, "x0hat"))
    finally:
        for hook in hooks:
            hook.remove()
    for stream in AV._fields:
        features = wanted[f"svg.connector_out_{stream}.4"]
        last = model.connectors[stream].conv_out(torch.nn.functional.silu(found[f"connectors.{stream}.norm_out"][1]))
        last = last.unflatten(0, (-1, features.shape[2])).transpose(1, 2) if stream == "video" else last
        torch.testing.assert_close(last, features, atol=2e-5, rtol=0)
        sent = features.mean((3, 4)) if stream == "video" else features.mean(3)
        torch.testing.assert_close(found[f"connectors.{stream}"][1], sent, atol=2e-5, rtol=0)
        for site, theirs in (("down_2", "0.2"), ("down_3", "0.3"), ("up_0", "1.0"), ("up_1", "1.1")):
            (x, context), out = found[f"joins.{stream}.{site}"]
            for ours, name in ((x, f"{theirs}:in"), (out, theirs)):
                reference = wanted[f"svg.connector_in_{stream}.{name}"]
                if stream == "video":
                    b, frames = x.shape[0], x.shape[2]
                    per_clip = reference if reference.ndim == 5 else reference.unflatten(0, (b, frames)).transpose(1, 2)
                    reference = per_clip.flatten(3)
                torch.testing.assert_close(ours, reference, atol=2e-5, rtol=0)
            reference = wanted[f"svg.context_for_{stream}"]
            if case == "svg_cmcpe_tiny":
                reference = reference[..., 0]
            else:
                reference = reference.reshape(len(context), -1, context.shape[1])[:, 0][..., None]
            torch.testing.assert_close(context, reference, atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    ("run", "steps", "gamma", "scales"), [("n4_gamma1.5", 4, 1.5, (7.5, 2.5)), ("n3_nogamma", 3, 1.0, (3.0, 1.0))]
)
@pytest.mark.parametrize("case", CASES)
def test_sampling_trajectories_agree(case, run, steps, gamma, scales):
    wanted = {key.removeprefix(f"{run}."): v for key, v in tensors(case, "sampler_trajectory").items() if key.startswith(run)}
    model = imported(case)
    times = AV(
        table_times(steps, spacing="linspace", exponent=gamma**0.5), table_times(steps, spacing="leading", exponent=gamma**-0.5)
    )
    for index in range(steps):
        assert [round(1000 * times.video[index]) - 1] == wanted[f"step{index}.t_video"].tolist()
        assert [round(1000 * times.audio[index]) - 1] == wanted[f"step{index}.t_audio"].tolist()
    schedule = AV(Tabulated("linear", 0.00085, 0.012), Tabulated("scaled_linear", 0.0015, 0.0195))

    def half(index):
        text, pooled = wanted["text_video_uncond_cond"][[index]], wanted["text_audio_uncond_cond"][[index]]
        return build_denoiser(model, schedule, "eps", told({"text_video": text, "text_audio": pooled}))

    path = []
    final = sample(
        classifier_free_guidance(half(1), half(0), AV(*scales)),
        streams(wanted, "init"),
        schedule,
        times,
        callback=lambda index, x, x0: path.append((x, x0)),
    )
    for index, (x, x0) in enumerate(path):
        last = index == steps - 1
        reached = streams(wanted, "final") if last else streams(wanted, f"step{index + 1}.x")
        used = None if last else streams(wanted, f"step{index + 1}.x0hat")
        for ours, theirs in (*zip(x, reached, strict=True), *(() if used is None else zip(x0, used, strict=True))):
            # The first estimates divide by an alpha of 0.04, and carry the networks' rounding 25 times and guidance on top.
            scale = max(1.0, float(theirs.abs().max()))
            torch.testing.assert_close(ours / scale, theirs / scale, atol=1e-5, rtol=0)
    assert all(torch.equal(one, other) for one, other in zip(final, path[-1][0], strict=True))


@pytest.mark.parametrize("case", CASES)
def test_gradients_of_trainable_parameters_agree(case):
    """The released training mode, in which connectors get their own noisy state at other timesteps."""
    model, extra = imported(case), tensors(case, "io_extra")
    norms = json.loads((PARITY / case / "case_a" / "train_grad_norms.json").read_text())
    model.zero_grad()
    names, entries = AV(*AV._fields), streams(extra, "tcon").map(torch.Tensor.float)
    contexts = streams(extra, "xcon").map(model._compute_context, streams(extra, "x0hat"), entries, names)
    words = extra["text_video"].repeat_interleave(extra["x_video"].shape[2], 0)
    with model._use_contexts(AV(contexts.audio, contexts.video), extra["x_video"].shape[2]):
        video = model.unets["video"](extra["x_video"], extra["t_video"], words).sample
        audio = model.unets["audio"](extra["x_audio"], extra["t_audio"], None, class_labels=extra["text_audio"]).sample
    torch.testing.assert_close(video, extra["train.eps_video"], atol=1e-5, rtol=0)
    torch.testing.assert_close(audio, extra["train.eps_audio"], atol=1e-5, rtol=0)
    ((video - extra["target_video"]).square().mean() + (audio - extra["target_audio"]).square().mean()).backward()
    ours = {name: float(p.grad.norm()) for name, p in model.named_parameters() if p.grad is not None}
    compared = 0
    for name, norm in norms.items():
        if not name.startswith("unet_svg."):
            continue
        key = released.convert_key(name.removeprefix("unet_svg."), model.config.variant)
        if norm:
            assert ours.get(key, 0.0) == pytest.approx(norm, rel=1e-3, abs=1e-6), name
        compared += 1
    assert compared > 200


def test_all_names_of_the_published_size_are_converted():
    keys = json.loads((PARITY / "svg_fullsize_keys.json").read_text())
    from sonovid.models.svg.model import paper

    for variant, theirs in (("cmc_pe", "unet_svg_cmcpe"), ("cross_attention", "unet_svg_codi")):
        with torch.device("meta"):
            own = {name: p.numel() for name, p in SVG(**paper(variant)).named_parameters() if not name.startswith("unets.")}
        mapped = {released.convert_key(name, variant): torch.Size(shape).numel() for name, shape in keys[theirs].items()}
        assert mapped == own


def test_an_incomplete_checkpoint_is_refused():
    case = "svg_cmcpe_tiny"
    joined = tensors(case, "unet_svg/diffusion_pytorch_model")
    joined.pop(next(iter(joined)))
    bases = AV(*(load_file(PARITY / "svg_base_tiny" / "case_a" / name / WEIGHTS) for name in ("unet_v", "unet_a")))
    with pytest.raises(ValueError, match="1 tensors missing"):
        released.load_weights(SVG(**dict_of(imported(case))), joined, bases)
    with pytest.raises(ValueError, match="no tensor of a released"):
        released.convert_key("something.else", "cmc_pe")


def dict_of(model):
    return {key: value for key, value in model.config.items() if not key.startswith("_")}

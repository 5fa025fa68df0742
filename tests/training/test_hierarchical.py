"""Eqs. 1-3 against references, and the parameters that each loss trains."""

import logging
import math
from functools import cache

import pytest
import torch
from tiny_autoencoder import autoencoder, window
from torch import nn

from sonovid.codecs.hierarchical import Discriminator
from sonovid.codecs.hierarchical.autoencoder import SCHEDULE
from sonovid.codecs.hierarchical.discriminator import small
from sonovid.codecs.hierarchical.layers import zero_module
from sonovid.core.av import AV
from sonovid.diffusion.objective import LossOutput, total_loss
from sonovid.training import hierarchical
from sonovid.training.hierarchical import (
    HierarchicalObjective,
    contrastive_loss,
    draw_frames,
    fake_triples,
    hinge_loss,
    kl_divergence,
    select_frames,
)


@cache
def adversary_network():
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(3)
        made = Discriminator(**small((16, 16), 4))
        for parameter in made.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.2)
    return made


def batch(model, b=3, labels=(0, 2, -1)):
    frames, sound = window(b)
    seen = model.encode_signal(frames, sound)
    return {
        "video": seen.video,
        "audio": seen.audio,
        "labels": torch.tensor(labels),
        "frames": frames,
        "picture": model.audio_image(sound),
    }


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def losses(model=None, seed=0, given=None, **options):
    model = model or autoencoder()
    objective = HierarchicalObjective(**{"dropout": 0.0, "adversary": adversary_network(), **options})
    return objective(model, batch(model) if given is None else given, seeded(seed))


# --- formulas --------------------------------------------------------------------------------------------------------


def test_kl_divergence_matches_torch():
    mean, log_variance = (torch.randn(2, 3, 4, 4, generator=seeded(s)) for s in (1, 2))
    own = torch.distributions.Normal(mean, (log_variance / 2).exp())
    wanted = torch.distributions.kl_divergence(own, torch.distributions.Normal(0.0, 1.0)).flatten(1).sum(1)
    assert torch.allclose(kl_divergence(mean, log_variance), wanted, rtol=1e-5)
    assert not kl_divergence(torch.zeros(1, 2), torch.zeros(1, 2)).any()


def test_contrastive_loss_is_equation_1():
    vectors = AV(*(nn.functional.normalize(torch.randn(4, 5, generator=seeded(s)), dim=1) for s in (1, 2)))
    for forth, back in ((3.0, 3.0), (2.0, 5.0)):
        wanted = 0.0
        for i in range(4):
            ahead = [math.exp(forth * float(vectors.video[i] @ vectors.audio[j])) for j in range(4)]
            aback = [math.exp(back * float(vectors.audio[i] @ vectors.video[j])) for j in range(4)]
            wanted -= 0.5 * math.log(ahead[i] / sum(ahead)) + 0.5 * math.log(aback[i] / sum(aback))
        found = contrastive_loss(vectors, AV(torch.tensor(forth), torch.tensor(back)))
        assert found.sum().item() == pytest.approx(wanted, rel=1e-5)


def test_hinge_loss():
    found = hinge_loss(torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.0]), torch.tensor([-1.0, 1.0]))
    assert found["real"].tolist() == [0.0, 0.5]
    assert found["fake"].tolist() == [0.0, 1.5]


def test_fake_triples_of_equation_2():
    # Slots: sound, frame i, frame j; made ones are negative.
    real = torch.tensor([1.0, 2.0, 3.0]).reshape(1, 1, 3, 1, 1).expand(-1, 3, -1, -1, -1)
    found = [f[0, 0].flatten().tolist() for f in fake_triples(real, -real)]
    assert found == [[-1, -2, -3], [-1, -2, 3], [-1, 2, -3], [-1, -3, -2]]


def test_draw_frames_and_select_frames():
    drawn = draw_frames(4, 400, 2, seeded())
    assert (drawn[:, 0] < drawn[:, 1]).all()
    assert len(drawn.unique(dim=0)) == 6
    with pytest.raises(ValueError, match="cannot draw 5 frames of a window of 4"):
        draw_frames(4, 1, 5, None)
    clips = torch.arange(8.0).reshape(2, 1, 4, 1, 1)
    assert select_frames(clips, torch.tensor([[0, 3], [1, 2]])).flatten().tolist() == [0, 3, 5, 6]


# --- the whole -------------------------------------------------------------------------------------------------------


def test_losses_are_per_sample_and_weighted():
    one = losses(kl=1.0, classes=1.0, contrast=1.0, adversarial=1.0).losses
    assert set(one) == {"kl", "contrast", "classes", "video", "audio", "adversarial"}
    assert all(loss.shape == (3,) for loss in one.values())
    assert one["classes"].isnan().tolist() == [False, False, True]
    other = losses(kl=1e-3, classes=0.1, contrast=0.2, adversarial=0.3).losses
    for name, by in (("kl", 1e-3), ("classes", 0.1), ("contrast", 0.2), ("adversarial", 0.3), ("video", 1), ("audio", 1)):
        assert torch.allclose(other[name], by * one[name], equal_nan=True, rtol=1e-5), name


def test_a_network_with_zero_output_has_the_loss_of_the_noise():
    model = autoencoder()
    zero_module(model.network.decoder.unet.conv_out)
    found = losses(model, adversary=None).losses
    # Mean squares of standard normal noise: 4 x 4 x 4 numbers an image.
    assert all(0.5 < float(loss.mean()) < 1.6 for loss in (found["video"], found["audio"]))


def test_the_adversary_sees_the_decoded_x0_estimate():
    # A decoder that knows the noise makes triples that are the frame codec's own reconstructions.
    model, told = autoencoder(), {}
    given = batch(model)

    class Knowing(nn.Module):
        def forward(self, x, t, *_):
            alpha, sigma = (c[:, None, None, None] for c in SCHEDULE.coefficients(t))
            return (x - alpha * told["x0"]) / sigma

    numbers = draw_frames(4, 3, 2, _after_latents(model, given))
    told["x0"] = torch.cat([select_frames(given["video"], numbers).movedim(1, 2).flatten(0, 1), given["audio"]])
    model.network.decoder.forward = Knowing().forward
    real, made = losses(model, given=given).discriminator_input
    assert torch.equal(real[:, :, 0], given["picture"])
    assert torch.equal(real[:, :, 1:], select_frames(given["frames"], numbers))
    assert torch.allclose(made[:, :, 0], model.decode_signal(given["audio"]), atol=5e-2)
    assert torch.allclose(made[:, :, 1], model.decode_signal(select_frames(given["video"], numbers)[:, :, 0]), atol=5e-2)


@pytest.mark.parametrize("predict", ["eps", "x0", "v"])
def test_a_decoder_that_predicts_the_target_has_no_loss(predict):
    model = autoencoder(predict=predict)
    given = batch(model)
    numbers = draw_frames(4, 3, 2, _after_latents(model, given))
    x0 = torch.cat([select_frames(given["video"], numbers).movedim(1, 2).flatten(0, 1), given["audio"]])

    def says(x, t, told):
        alpha, sigma = (c[:, None, None, None] for c in SCHEDULE.coefficients(t))
        eps = (x - alpha * x0) / sigma
        return {"eps": eps, "x0": x0, "v": alpha * eps - sigma * x0}[predict]

    model.network.decoder.forward = says
    found = losses(model, given=given, adversary=None).losses
    assert max(found["video"].max(), found["audio"].max()) < 1e-6


def _after_latents(model, given):
    """The generator in the state in which frames are drawn: after the noise of the posteriors."""
    generator = seeded()
    for mean, _ in model.network.posterior(AV(given["video"], given["audio"])):
        torch.randn(mean.shape, generator=generator)
    return generator


def test_the_adversarial_loss_may_use_a_part_of_the_batch():
    found = losses(judged=1)
    assert found.losses["adversarial"].isnan().tolist() == [False, True, True]
    whole = losses()
    assert all(
        torch.allclose(a, b[:1], atol=1e-5) for a, b in zip(found.discriminator_input, whole.discriminator_input, strict=True)
    )


def test_missing_labels_warn_once_and_skip_the_loss(caplog):
    hierarchical._WARNED.clear()
    model = autoencoder()
    given = batch(model)
    del given["labels"]
    with caplog.at_level(logging.WARNING):
        found = losses(model, given=given)
        losses(model, given=given)
    assert [r.message for r in caplog.records] == ["the data have no labels: the classification loss is skipped"]
    assert found.losses["classes"].isnan().all()
    assert total_loss(LossOutput(found.losses, AV(None, None))).isfinite()


def test_invalid_labels_and_missing_pixels_raise():
    model = autoencoder()
    with pytest.raises(ValueError, match="label 3: this autoencoder has classes 0 to 2"):
        losses(model, given=batch(model, labels=(0, 1, 3)))
    given = batch(model)
    del given["picture"]
    with pytest.raises(ValueError, match="needs `frames` and `picture`"):
        losses(model, given=given)
    with pytest.raises(ValueError, match="frames=1"):
        HierarchicalObjective(frames=1, adversary=adversary_network())


def test_a_model_without_a_semantic_space_has_no_semantic_losses():
    assert set(losses(autoencoder(semantic=None), adversary=None).losses) == {"kl", "video", "audio"}


def test_condition_dropout_affects_the_decoder_but_not_the_semantic_losses():
    model = autoencoder()
    kept, dropped = (losses(model, dropout=share, adversary=None).losses for share in (0.0, 1.0))
    assert not torch.allclose(kept["video"], dropped["video"])
    assert torch.equal(kept["contrast"], dropped["contrast"])
    assert torch.equal(kept["kl"], dropped["kl"])


# --- who is reached --------------------------------------------------------------------------------------------------

ENCODERS, PROJECTORS = ("network.encoders.",), ("network.semantics.projectors.",)
CONTRASTIVE, CLASSIFYING = ("network.semantics.contrastive_head.",), ("network.semantics.class_head.",)
DECODER = ("network.decoder.",)
REACHES = {
    "kl": ENCODERS,
    "contrast": ENCODERS + PROJECTORS + CONTRASTIVE,
    "classes": ENCODERS + PROJECTORS + CLASSIFYING,
    "video": ENCODERS + PROJECTORS + DECODER,
    "audio": ENCODERS + PROJECTORS + DECODER,
    "adversarial": ENCODERS + PROJECTORS + DECODER,
}
# What a loss does not touch within what it trains: the decoder's parts for the other stream, and what tells of the same one.
SPARED = {
    "video": ("decoder.pyramids.audio", "decoder.content.audio", "decoder.modality.audio", "semantics.projectors.video"),
    "audio": (
        "decoder.pyramids.video",
        "decoder.content.video",
        "decoder.modality.video",
        "decoder.index",
        "semantics.projectors.audio",
    ),
}


def reached(model, loss):
    for parameter in model.parameters():
        parameter.grad = None
    loss[~loss.isnan()].sum().backward(retain_graph=True)
    return {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}


@pytest.mark.parametrize("name", REACHES)
def test_each_loss_trains_exactly_its_own_modules(name):
    model = autoencoder()
    adversary = adversary_network().requires_grad_(False)
    found = reached(model, losses(model, adversary=adversary, kl=1.0).losses[name])
    adversary.requires_grad_(True)
    spared = SPARED.get(name, ())
    own = {n for n, _ in model.named_parameters() if n.startswith(REACHES[name]) and not any(s in n for s in spared)}
    if name == "kl":
        # The divergence knows the posterior alone, and all of it.
        assert found == own
        return
    missing = own - found - {n for n in own if "frames.0.attention.inward.bias" in n}
    assert not missing, f"{name} does not reach {sorted(missing)[:5]}"
    assert not found - own, f"{name} reaches {sorted(found - own)[:5]}"


def test_detached_semantic_losses_stop_at_the_projectors():
    settings = {**autoencoder().network.config.semantic, "detached": True}
    model = autoencoder(semantic=settings)
    found = losses(model, adversary=None).losses
    for name in ("contrast", "classes"):
        assert {n.split(".")[1] for n in reached(model, found[name])} == {"semantics"}


def test_the_adversary_loss_trains_only_the_adversary():
    model, adversary = autoencoder(), adversary_network()
    result = losses(model)
    # Each by itself: inside the margin both pull the last bias alike, and in their sum it stands still.
    for loss in HierarchicalObjective(adversary=adversary).discriminate(adversary, result.discriminator_input).values():
        for parameter in [*model.parameters(), *adversary.parameters()]:
            parameter.grad = None
        loss.sum().backward()
        assert all(p.grad is None for p in model.parameters())
        assert not [n for n, p in adversary.named_parameters() if p.grad is None or not p.grad.any()]


def test_the_frame_codec_and_the_vocoder_are_frozen():
    model = autoencoder()
    total_loss(LossOutput(losses(model).losses, AV(None, None))).backward()
    frozen = [p for n, p in model.named_parameters() if n.startswith(("frame_codec.", "vocoder."))]
    assert frozen
    assert all(p.grad is None and not p.requires_grad for p in frozen)


def step(model, optimiser, seed, **options):
    loss = total_loss(LossOutput(losses(model, seed, **options).losses, AV(None, None)))
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    dead = {n for n, p in model.network.named_parameters() if p.grad is None or not p.grad.any()}
    optimiser.step()
    return dead


def test_after_one_step_every_parameter_of_a_fresh_autoencoder_is_trained():
    model = autoencoder(fresh=True)
    optimiser = torch.optim.AdamW(model.network.parameters(), lr=1e-3)
    adversary = adversary_network().requires_grad_(False)
    step(model, optimiser, 0, adversary=adversary)
    assert step(model, optimiser, 1, adversary=adversary) == set()
    adversary.requires_grad_(True)


def test_mlps_that_are_zeroed_entirely_never_train():
    # The counterexample: content and meaning then say a constant, whatever the latents are.
    model = autoencoder(fresh=True)
    perceptrons = [*model.network.decoder.content.values(), model.network.decoder.meaning]
    for one in perceptrons:
        zero_module(one)
    optimiser = torch.optim.AdamW(model.network.parameters(), lr=1e-3)
    for seed in range(3):
        dead = step(model, optimiser, seed, adversary=None)
    assert {"decoder.content.video.0.weight", "decoder.content.audio.2.weight", "decoder.meaning.2.weight"} <= dead
    assert not any(layer.weight.any() for one in perceptrons for layer in (one[0], one[2]))

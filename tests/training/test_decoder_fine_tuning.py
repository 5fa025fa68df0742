"""Fine-tuning of a decoder: trained parameters, losses, and the delayed discriminator."""

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderKLCogVideoX

from sonovid.codecs.pretrained import PretrainedVideo
from sonovid.codecs.video import FrameAutoencoder
from sonovid.training import decoder_fine_tuning
from sonovid.training.decoder_fine_tuning import DecoderFineTuning, PatchDiscriminator
from sonovid.training.perceptual import LPIPS


def light():
    return FrameAutoencoder(4, 2, (8, 8), 1)


def released():
    sizes = {"block_out_channels": (8, 8), "norm_num_groups": 4, "sample_size": 16}
    kinds = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    return PretrainedVideo(AutoencoderKL(**sizes, **kinds))


def shown(b=4):
    pictures = torch.rand(b, 3, 1, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return {"pictures": pictures, "sound": torch.arange(b) % 2 == 1}


@pytest.mark.parametrize("make", [light, released])
def test_only_the_decoder_is_trained(make):
    torch.manual_seed(0)
    model, discriminator = make(), PatchDiscriminator(8)
    decoder_fine_tuning.freeze_all_but_decoder(model)
    output = DecoderFineTuning(discriminator, perceived=None)(model, shown())
    torch.stack([loss.nan_to_num().sum() for loss in output.losses.values()]).sum().backward()
    learning = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    own = {name for name, p in model.named_parameters() if "decoder" in name or "post_quant_conv" in name}
    # Biases before a normalisation may have no gradient; every weight has one.
    assert learning <= own
    assert {name for name in own if name.endswith("weight")} <= learning
    last = "decoder.head.weight" if make is light else "autoencoder.decoder.conv_out.weight"
    assert decoder_fine_tuning.last_decoder_weight(model) is model.get_parameter(last)


def test_frames_and_audio_images_have_separate_losses():
    model = light()
    losses = DecoderFineTuning(edge=1.0)(model, shown()).losses
    assert losses["frames"].isnan().tolist() == [False, True, False, True]
    assert losses["sounds"].isnan().tolist() == [True, False, True, False]
    assert set(losses) == {"frames", "sounds"}


def test_the_adversarial_gradient_has_half_the_norm_of_the_others():
    torch.manual_seed(0)
    model, discriminator = light(), PatchDiscriminator(8)
    losses = DecoderFineTuning(discriminator)(model, shown()).losses
    last = decoder_fine_tuning.last_decoder_weight(model)
    error = torch.stack([losses[name].nan_to_num() for name in ("frames", "sounds")]).sum(0).mean()
    norms = [torch.autograd.grad(loss, last, retain_graph=True)[0].norm() for loss in (error, losses["verdict"].mean())]
    assert float(norms[1] / norms[0]) == pytest.approx(0.5, rel=0.02)
    with torch.no_grad():
        output = DecoderFineTuning(discriminator)(model, shown())
        made = discriminator(output.discriminator_input[1])
    torch.testing.assert_close(output.losses["verdict"], -0.5 * made)


def test_the_discriminator_starts_after_its_delay_and_counts_passes():
    torch.manual_seed(0)
    model, discriminator = light(), PatchDiscriminator(8, begins=2)
    objective, optimizer = DecoderFineTuning(discriminator), torch.optim.Adam(discriminator.parameters(), 1e-2)
    weights = []
    for _ in range(4):
        output = objective(model, shown())
        weights.append(("verdict" in output.losses, discriminator.network[0].weight.detach().clone()))
        optimizer.zero_grad()
        torch.stack(
            [loss.mean() for loss in objective.discriminate(discriminator, output.discriminator_input).values()]
        ).sum().backward()
        optimizer.step()
    assert [had for had, _ in weights] == [False, False, True, True]
    assert torch.equal(weights[0][1], weights[2][1])
    assert not torch.equal(weights[2][1], weights[3][1])
    again = PatchDiscriminator(8, begins=2)
    again.load_state_dict(discriminator.state_dict())
    assert again.active
    discriminator.eval()
    objective.discriminate(discriminator, output.discriminator_input)
    assert int(discriminator.seen) == 4


def test_the_discriminator_learns():
    torch.manual_seed(0)
    discriminator, true, made = PatchDiscriminator(8), torch.rand(8, 3, 32, 32), -torch.rand(8, 3, 32, 32)
    optimizer = torch.optim.Adam(discriminator.parameters(), 1e-3)
    for _ in range(30):
        optimizer.zero_grad()
        torch.stack(
            [x.mean() for x in DecoderFineTuning(discriminator).discriminate(discriminator, (true, made)).values()]
        ).sum().backward()
        optimizer.step()
    assert float(discriminator(true).min()) > float(discriminator(made).max())
    # What it says of a picture depends on no other.
    torch.testing.assert_close(discriminator(true)[:1], discriminator(true[:1]))


def test_the_perceptual_distance_is_added():
    torch.manual_seed(0)
    model, perceived = light(), LPIPS().requires_grad_(False)
    with torch.no_grad():
        plain = DecoderFineTuning()(model, shown()).losses["frames"]
        both = DecoderFineTuning(perceived=perceived, perceptual=2.0)(model, shown())
    torch.testing.assert_close(
        (both.losses["frames"] - plain)[::2], 2 * perceived(both.discriminator_input[1], both.discriminator_input[0])[::2]
    )


def test_a_codec_of_several_frames_raises():
    model = AutoencoderKLCogVideoX(
        block_out_channels=(8, 8),
        down_block_types=("CogVideoXDownBlock3D",) * 2,
        up_block_types=("CogVideoXUpBlock3D",) * 2,
        norm_num_groups=4,
        latent_channels=4,
        layers_per_block=1,
    )
    with pytest.raises(ValueError, match="AutoencoderKLCogVideoX: works on several frames at once"):
        decoder_fine_tuning.freeze_all_but_decoder(PretrainedVideo(model))

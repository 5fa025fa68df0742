"""A decoder fine-tuned from its recipe."""

import json
from fractions import Fraction

import pytest
import torch
from diffusers import AutoencoderKL

from sonovid import recipes
from sonovid.codecs.audio_image import released_mel
from sonovid.codecs.pretrained import PretrainedVideo
from sonovid.codecs.video import FrameAutoencoder
from sonovid.core.av import AV
from sonovid.core.geometry import Geometry
from sonovid.data.latents import InMemoryLatents
from sonovid.recipes.components import build_audio_image, load_video_codec
from sonovid.recipes.configs import AudioImageConfig, CodecConfig
from sonovid.recipes.fine_tuning.train import ImageDataset

NAME = "codec.frames.fine_tuned.tiny"


def test_the_decoder_changes_and_the_latents_do_not(tmp_path):
    folder = recipes.run(NAME, {"out": str(tmp_path)})
    tuned, original = FrameAutoencoder.from_pretrained(folder), load_video_codec(CodecConfig(video="tiny"))
    frames = torch.rand(1, 3, 2, 32, 32) * 2 - 1
    latents = original.encode(frames)
    assert torch.equal(tuned.encode(frames), latents)
    assert not torch.equal(tuned.decode(latents), original.decode(latents))
    (shown,) = (tmp_path / "samples").iterdir()
    figures = json.loads((shown / "figures.json").read_text())
    assert {"psnr_frames", "psnr_frames_before", "psnr_sounds", "mel_error_db", "mel_error_db_of_picture"} <= set(figures)
    assert figures["psnr_frames"] != figures["psnr_frames_before"]


def test_fine_tuning_improves_frames_and_audio_images(tmp_path):
    options = {
        "steps": "60",
        "learning_rate": "3e-3",
        "decay": "constant",
        "average": "0.5",
        "batch_size": "8",
        "judge.on": "false",
    }
    recipes.run(NAME, {"out": str(tmp_path), "validate_every": "60", "checkpoint_every": "60", **options})
    (shown,) = (tmp_path / "samples").iterdir()
    figures = json.loads((shown / "figures.json").read_text())
    assert figures["psnr_frames"] > figures["psnr_frames_before"] + 1
    assert figures["psnr_sounds"] > figures["psnr_sounds_before"] + 1
    assert figures["mel_error_db"] < figures["mel_error_db_before"]


def test_a_released_autoencoder_is_fine_tuned_from_its_folder(tmp_path):
    kinds = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    original = AutoencoderKL(block_out_channels=(8, 8), norm_num_groups=4, scaling_factor=0.2, **kinds)
    original.save_pretrained(tmp_path / "vae")
    folder = recipes.run(NAME, {"out": str(tmp_path / "run"), "codec": str(tmp_path / "vae"), "steps": "2"})
    tuned = PretrainedVideo.from_pretrained(folder).autoencoder
    assert tuned.config.scaling_factor == 0.2
    changed = {name for name, value in tuned.state_dict().items() if not torch.equal(value, original.state_dict()[name])}
    assert changed
    assert all(name.startswith(("decoder.", "post_quant_conv.")) for name in changed)


def test_the_dataset_has_each_clip_s_frames_and_then_its_audio_image():
    g = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (2, 4, 32, 32, 3), generator=g, dtype=torch.uint8)
    sound = torch.randint(-9000, 9000, (2, 8000), generator=g, dtype=torch.int16)
    cache = InMemoryLatents([{}, {}], AV(frames, sound))
    mel, image = build_audio_image(AudioImageConfig(), Geometry(4, Fraction(8), 32, 32, 16000))
    pictures = ImageDataset(cache, mel, image, 4, 2)
    assert len(pictures) == 12
    batch = pictures([3, 4, 5, 6])
    assert batch["sound"].tolist() == [False, True, True, False]
    for place, (clip, frame) in {0: (0, 3), 3: (1, 0)}.items():
        torch.testing.assert_close(batch["pictures"][place, :, 0], frames[clip, frame].movedim(-1, 0) / 127.5 - 1)
    wanted = image.encode(mel(sound[:1] / 32767))[0]
    assert torch.equal(batch["pictures"][1, :, 0], wanted)
    assert torch.equal(batch["pictures"][2, :, 0], wanted)
    assert AV(*batch["pictures"].shape[-2:]) == AV(32, 32)


def test_the_pieces_of_a_wide_audio_image_take_turns():
    g = torch.Generator().manual_seed(0)
    frames = torch.zeros(2, 4, 32, 32, 3, dtype=torch.uint8)
    sound = torch.randint(-9000, 9000, (2, 8000), generator=g, dtype=torch.int16)
    mel, image = build_audio_image(AudioImageConfig(width=64), Geometry(4, Fraction(8), 32, 32, 16000))
    assert (image.height, image.width) == (32, 64)
    pictures = ImageDataset(InMemoryLatents([{}, {}], AV(frames, sound)), mel, image, 4, 3)
    batch = pictures([4, 5, 6, 12])["pictures"][:, :, 0]
    whole = image.encode(mel(sound / 32767))
    wanted = [whole[0, ..., :32], whole[0, ..., 32:], whole[0, ..., :32], whole[1, ..., 32:]]
    assert torch.equal(batch, torch.stack(wanted))


def test_the_published_recipe_has_the_paper_s_values():
    recipe = recipes.get("codec.frames.fine_tuned")
    assert (recipe.training.learning_rate, recipe.judge.begins, recipe.judge.weight, recipe.training.batch_size) == (
        1e-5,
        10001,
        0.5,
        10,
    )
    mel, image = build_audio_image(recipe.picture, recipe.geometry)
    assert mel == released_mel()
    assert (image.height, image.width, image.low, image.high) == (256, 256, -80, 20)
    assert mel(torch.zeros(1, recipe.geometry.num_samples)).shape == (1, 80, 275)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"geometry.height": "36"}, "multiples of 8"),
        ({"sounds": "-1"}, "how often an audio image counts"),
        (
            {"picture.width": "40"},
            "an audio image of 32x40; expected the height of the frames, 32, and a multiple of their width",
        ),
        ({"perceived": "nowhere.pth"}, r"expected a \.safetensors file"),
        ({"codec": "nowhere"}, "no such folder"),
    ],
)
def test_invalid_values_are_rejected(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        recipes.run(NAME, {"out": str(tmp_path), **options})

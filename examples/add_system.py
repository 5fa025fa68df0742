"""How to add a system: a denoiser of your own, trained for a few steps on scenes and run by the pipeline.

A system is a `Denoiser` (models/base.py): a network from a noisy pair of latents and its times to a predicted pair. Codecs,
objective, guidance, sampling and the pipeline are shared by all systems.

To make it part of the package, put the network into a folder of src/sonovid/models/ (model folders may name only classes that
are defined there), its config and training into a folder of src/sonovid/recipes/, and the recipe's name into RECIPES of
recipes/__init__.py.
"""

import sys
from collections.abc import Sequence

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from sonovid import AV, SoundingVideoPipeline, media
from sonovid.core.condition import Condition
from sonovid.core.model import Model, register_to_config
from sonovid.data.scenes import render
from sonovid.diffusion.objective import MultiTaskObjective, total_loss
from sonovid.models.base import Output


class SmallJoint(Model):
    """A transformer encoder whose tokens are the video's latent frames and the audio's latent steps.

    Args:
        video, audio: shapes of the latents, (c, t, h, w) and (c, l, f).
        text_width, width: channels of the text embeddings and of a token.
    """

    @register_to_config
    def __init__(self, video: Sequence[int], audio: Sequence[int], text_width: int = 256, width: int = 128):
        super().__init__()
        self.sizes = AV(video[0] * video[2] * video[3], audio[0] * audio[2])
        self.embed = nn.ModuleList(nn.Linear(size, width) for size in self.sizes)
        self.place = nn.ParameterList(nn.Parameter(0.02 * torch.randn(length, width)) for length in (video[1], audio[1]))
        self.time = nn.Sequential(nn.Linear(1, width), nn.SiLU(), nn.Linear(width, width))
        self.text = nn.Linear(text_width, width)
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.0, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.ModuleList(nn.Linear(width, size) for size in self.sizes)

    def forward(self, x: AV, t: AV, condition: Condition | None = None, previous: AV | None = None) -> Output:
        """x: noisy latents [b c t h w] and [b c l f]. t: times from 0 (clean) to 1, [b] or one per latent frame."""
        flat = AV(rearrange(x.video, "b c t h w -> b t (c h w)"), rearrange(x.audio, "b c l f -> b l (c f)"))
        tokens = [
            embed(stream) + place + self.time(rearrange(time, "b ... -> b (...) 1"))
            for embed, place, stream, time in zip(self.embed, self.place, flat, t, strict=True)
        ]
        sequence = torch.cat([*tokens, self.prompt_token(condition, tokens[0])], dim=1)
        parts = self.blocks(sequence).split([tokens[0].shape[1], tokens[1].shape[1], 1], dim=1)
        video, audio = (out(part) for out, part in zip(self.out, parts[:2], strict=True))
        video = rearrange(video, "b t (c h w) -> b c t h w", h=x.video.shape[3], w=x.video.shape[4])
        return Output(AV(video, rearrange(audio, "b l (c f) -> b c l f", f=x.audio.shape[3])))

    def prompt_token(self, condition: Condition | None, like: Tensor) -> Tensor:
        """One token for the prompt: the mean of its embeddings, or zeros."""
        if condition is None:
            return torch.zeros_like(like[:, :1])
        mask = condition.text_mask[..., None].to(like)
        mean = (condition.text * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
        return self.text(mean) * mask.amax(1, keepdim=True)


def train(pipe: SoundingVideoPipeline, steps: int, count: int) -> SmallJoint:
    """A network trained on `count` scenes, encoded by the codecs of `pipe`."""
    clips = [render("hits", seed, pipe.geometry) for seed in range(count)]
    frames = rearrange(torch.from_numpy(np.stack([clip.frames for clip in clips])), "b t h w c -> b c t h w") / 127.5 - 1
    waveforms = torch.from_numpy(np.concatenate([clip.waveform for clip in clips]))
    with torch.no_grad():
        x0 = pipe.codec.whiten(pipe.codec.encode(frames, waveforms)).map(Tensor.float)
        text, mask = pipe.text_encoder([clip.caption for clip in clips])
    generated = torch.ones(count, dtype=torch.bool)
    batch = {"x0": x0, "condition": Condition(text, mask, AV(generated, generated))}

    model = SmallJoint(x0.video.shape[1:], x0.audio.shape[1:], text.shape[-1])
    # All three tasks in one batch; the objective draws tasks, times, noise and dropped prompts.
    objective = MultiTaskObjective(schedule=pipe.schedule, predict=pipe.config.predict, text_dropout=0.1)
    optimizer, generator = torch.optim.AdamW(model.parameters(), 1e-3), torch.Generator().manual_seed(0)
    for step in range(steps):
        loss = total_loss(objective(model, batch, generator))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(f"step {step}: loss {loss.item():.3f}")
    return model.eval()


def main(out: str, steps: int = 20, count: int = 8) -> None:
    pipe = SoundingVideoPipeline.from_pretrained("uniform")  # the small packaged model
    pipe = SoundingVideoPipeline.from_pipe(pipe, denoiser=train(pipe, steps, count))
    media.write(out, pipe("a stick hits a drum", num_inference_steps=4, generator=0).clips[0], overwrite=True)


if __name__ == "__main__":
    main(*sys.argv[1:2] or ["small.mp4"])

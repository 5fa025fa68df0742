"""Multiply-adds of MM-Diffusion beside MM-LDM's, of one evaluation and of a whole clip, counted on no memory.

    python -m benchmarks mmldm.mm_diffusion

MM-Diffusion (Ruan et al. 2023) is written out here at the settings of its released training script: 16 frames of 64x64 and 25 600
samples, 128 channels times 1, 2, 3, 4, two residual blocks a level. It is there to be counted and nothing else: shifts of its
windows are left out, which change no number. Convolutions and linear layers are counted as MM-LDM's table 4 does, batch 1, and
products of attention beside them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from einops import rearrange
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sonovid.codecs.hierarchical import network as hierarchical
from sonovid.codecs.hierarchical.network import HierarchicalNetwork
from sonovid.core.av import AV
from sonovid.models.mmldm import MMLDM
from sonovid.models.mmldm.transformer import SIZES, paper

FRAMES, SIDE, SAMPLES = 16, 64, 25_600
WIDTH, MULTS, BLOCKS, HEADS, HEAD_WIDTH = 128, (1, 2, 3, 4), 2, 4, 64
# How many frames of the other stream a place sees, by how often the pictures were halved.
WINDOWS = {1: 1, 2: 4, 3: 8}
# Dilations of sounds go round after this many residual blocks.
CYCLE = 10


def convolution(dimensions: int, inward: int, outward: int, size: int, dilation: int = 1) -> nn.Module:
    """A convolution that keeps the length."""
    kind: Any = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
    return kind(inward, outward, size, padding="same", dilation=dilation)


class PictureConvolution(nn.Module):
    """3x3 within each frame, then 3 along time."""

    def __init__(self, inward: int, outward: int):
        super().__init__()
        self.within, self.along = convolution(2, inward, outward, 3), convolution(1, outward, outward, 3)

    def forward(self, video: Tensor) -> Tensor:
        """video: [t c h w], as throughout."""
        x, h = self.within(video), video.shape[2]
        return rearrange(self.along(rearrange(x, "t c h w -> (h w) c t")), "(h w) c t -> t c h w", h=h)


class Attention(nn.Module):
    """Self-attention over the last axis of [b c k]."""

    def __init__(self, width: int):
        super().__init__()
        self.norm, self.inward, self.outward = nn.GroupNorm(32, width), nn.Conv1d(width, 3 * width, 1), nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        parts = rearrange(self.inward(self.norm(x)), "b (three n c) k -> three b n k c", three=3, n=HEADS)
        return x + self.outward(rearrange(attend(*parts), "b n k c -> b (n c) k"))


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention as two products, so that they are counted."""
    return (queries @ keys.transpose(-1, -2)).softmax(-1) @ values


class Residual(nn.Module):
    """The residual block of both streams under one time, resampling in its midst, with attention behind where asked for."""

    def __init__(self, inward: int, outward: int, place: int, change: str = "", pictures: bool = False, sound: bool = False):
        super().__init__()
        self.change = change
        self.time = nn.Linear(WIDTH, 2 * outward)
        self.norms = nn.ModuleList(nn.GroupNorm(32, width) for width in (inward, inward, outward, outward))
        dilation = 2 ** (place % CYCLE)
        self.first = nn.ModuleList([PictureConvolution(inward, outward), convolution(1, inward, outward, 3, dilation)])
        self.second = nn.ModuleList([convolution(3, outward, outward, 1), convolution(1, outward, outward, 1)])
        same = inward == outward
        self.past = nn.ModuleList(nn.Identity() if same else convolution(n, inward, outward, 1) for n in (3, 1))
        self.within = Attention(outward) if pictures else None
        self.along = Attention(outward) if pictures else None
        self.heard = Attention(outward) if sound else None

    def forward(self, video: Tensor, audio: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift = self.time(F.silu(time))[..., None].chunk(2, dim=1)
        seen, heard = (first(F.silu(norm(x))) for first, norm, x in zip(self.first, self.norms[:2], (video, audio), strict=True))
        seen, video, heard, audio = (resampled(x, self.change, pictures=i < 2) for i, x in enumerate((seen, video, heard, audio)))
        seen = F.silu(self.norms[2](seen) * (1 + scale[..., None]) + shift[..., None])
        heard = F.silu(self.norms[3](heard) * (1 + scale) + shift)
        whole = rearrange(seen, "t c h w -> 1 c t h w")
        seen, heard = rearrange(self.second[0](whole), "1 c t h w -> t c h w"), self.second[1](heard)
        past = video
        if not isinstance(self.past[0], nn.Identity):
            past = rearrange(self.past[0](rearrange(video, "t c h w -> 1 c t h w")), "1 c t h w -> t c h w")
        video, audio = past + seen, self.past[1](audio) + heard
        if self.within is not None and self.along is not None:
            h = video.shape[2]
            x = rearrange(self.within(rearrange(video, "t c h w -> t c (h w)")), "t c k -> k c t")
            video = rearrange(self.along(x), "(h w) c t -> t c h w", h=h)
        return video, audio if self.heard is None else self.heard(audio)


def resampled(x: Tensor, change: str, *, pictures: bool) -> Tensor:
    """Pictures at half or twice the size, sound at a quarter or four times the length."""
    if change == "down":
        return F.avg_pool2d(x, 2) if pictures else F.avg_pool1d(x, 4)
    if change == "up":
        return F.interpolate(x, scale_factor=2.0 if pictures else 4.0, mode="nearest")
    return x


class Across(nn.Module):
    """Attention of each frame's places to the sound of `window` frames, and of the sound beside a frame to `window` frames."""

    def __init__(self, width: int, window: int):
        super().__init__()
        self.window = window
        self.norms = nn.ModuleList(nn.GroupNorm(32, width) for _ in AV._fields)
        self.inward = nn.ModuleList(nn.Conv1d(width, 3 * width, 1) for _ in AV._fields)
        self.outward = nn.ModuleList([convolution(3, width, width, 1), convolution(1, width, width, 1)])

    def forward(self, video: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
        t, h = len(video), video.shape[2]
        flat = rearrange(video, "t c h w -> 1 c (t h w)"), audio
        parts = [
            rearrange(inward(norm(x)), "1 (three n c) (t k) -> three t n k c", three=3, t=t, c=HEAD_WIDTH)
            for inward, norm, x in zip(self.inward, self.norms, flat, strict=True)
        ]
        near = [[torch.cat([x.roll(-i, 0) for i in range(self.window)], dim=2) for x in part[1:]] for part in parts]
        seen, heard = attend(parts[0][0], *near[1]), attend(parts[1][0], *near[0])
        seen = self.outward[0](rearrange(seen, "t n (h w) c -> 1 (n c) t h w", h=h))
        heard = self.outward[1](rearrange(heard, "t n k c -> 1 (n c) (t k)"))
        return video + rearrange(seen, "1 c t h w -> t c h w"), audio + heard


class MMDiffusion(nn.Module):
    """The coupled U-Net of MM-Diffusion (section 3.2, figure 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH))
        self.begin = nn.ModuleList([PictureConvolution(3, WIDTH), convolution(1, 1, WIDTH, 3)])
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        at, place, passed = WIDTH, 1, [WIDTH]
        for level, mult in enumerate(MULTS):
            for _ in range(BLOCKS):
                self.down.append(self._stage(at, WIDTH * mult, place, level))
                at, place = WIDTH * mult, place + 1
                passed.append(at)
            if level + 1 < len(MULTS):
                self.down.append(nn.ModuleList([Residual(at, at, place, "down")]))
                place += 1
                passed.append(at)
        both = {"pictures": True, "sound": True}
        self.middle = nn.ModuleList([Residual(at, at, place, **both), Across(at, FRAMES), Residual(at, at, place, **both)])
        place -= 1
        for level, mult in reversed(list(enumerate(MULTS))):
            for i in range(BLOCKS + 1):
                stage = self._stage(at + passed.pop(), WIDTH * mult, place, level)
                at, place = WIDTH * mult, place - 1
                if level and i == BLOCKS:
                    stage.append(Residual(at, at, place, "up"))
                self.up.append(stage)
        self.norms = nn.ModuleList(nn.GroupNorm(32, WIDTH) for _ in AV._fields)
        self.end = nn.ModuleList([convolution(3, WIDTH, 3, 3), convolution(1, WIDTH, 1, 3)])

    @staticmethod
    def _stage(inward: int, outward: int, place: int, level: int) -> nn.ModuleList:
        stage = nn.ModuleList([Residual(inward, outward, place, pictures=level in WINDOWS)])
        if level in WINDOWS:
            stage.append(Across(outward, WINDOWS[level]))
        return stage

    def forward(self, video: Tensor, audio: Tensor, time: Tensor) -> AV:
        """video: [t 3 h w]. audio: [1 1 n]. time: its sinusoids [1 128]."""
        time = self.time(time)

        def through(stage: Any, video: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
            for part in stage:
                video, audio = part(video, audio, time) if isinstance(part, Residual) else part(video, audio)
            return video, audio

        pair = self.begin[0](video), self.begin[1](audio)
        kept = [pair]
        for stage in self.down:
            pair = through(stage, *pair)
            kept.append(pair)
        pair = through(self.middle, *pair)
        for stage in self.up:
            pair = through(stage, *(torch.cat(both, dim=1) for both in zip(pair, kept.pop(), strict=True)))
        video, audio = (F.silu(norm(x)) for norm, x in zip(self.norms, pair, strict=True))
        video = rearrange(self.end[0](rearrange(video, "t c h w -> 1 c t h w")), "1 c t h w -> t c h w")
        return AV(video, self.end[1](audio))


@dataclass(frozen=True)
class Count:
    """Parameters, multiply-adds of convolutions and linear layers, and those of attention's products."""

    parameters: int
    layers: int
    products: int

    @property
    def whole(self) -> int:
        return self.layers + self.products


def count(model: nn.Module, evaluate: Callable[[], Any]) -> Count:
    """What one call costs; the model and what it is given are to be on no memory."""
    layers = 0
    # The counter hangs on modules, and would look for gradients of what goes into them.
    model.requires_grad_(False)

    def add(module: Any, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        nonlocal layers
        layers += out.numel() * module.weight[0].numel()

    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    hooks = [module.register_forward_hook(add) for module in model.modules() if isinstance(module, kinds)]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        evaluate()
    for hook in hooks:
        hook.remove()
    # The counter calls a multiplication and an addition two operations.
    return Count(sum(p.numel() for p in model.parameters()), layers, counter.get_total_flops() // 2 - layers)


def mm_diffusion() -> Count:
    with torch.device("meta"):
        model = MMDiffusion().eval()
        given = torch.empty(FRAMES, 3, SIDE, SIDE), torch.empty(1, 1, SAMPLES), torch.empty(1, WIDTH)
        made = model(*given)
        assert made.map(lambda x: x.shape) == AV(given[0].shape, given[1].shape)
        return count(model, lambda: model(*given))


def generator(size: str) -> Count:
    """MM-LDM's generator, 399 tokens."""
    with torch.device("meta"):
        model = MMLDM(**paper(size)).eval()
        x, t = AV(torch.empty(1, 16, 1, 16, 16), torch.empty(1, 16, 8, 8)), torch.empty(1)
        return count(model, lambda: model(x, AV(t, t)))


def autoencoder() -> dict[str, Count]:
    """MM-LDM's autoencoder at the published size: one evaluation of its decoder for 16 frames and the audio image together; what
    the decoder is told, which steps share; both encoders; and the 17 pictures through Stable Diffusion's frame codec."""
    with torch.device("meta"):
        network = HierarchicalNetwork(**hierarchical.paper()).eval()
        z = AV(torch.empty(1, 16, 16, 16), torch.empty(1, 16, 8, 8))
        frames, pictures = torch.empty(1, FRAMES, dtype=torch.long), FRAMES + 1

        def condition() -> Any:
            semantics = network.encode_semantics(z)
            assert semantics is not None
            return network.make_condition(z, frames, features=semantics.features, labels=torch.empty(1, dtype=torch.long))

        once, x = condition(), torch.empty(pictures, 4, 32, 32)
        # Stable Diffusion's frame codec.
        codec = AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
        ).eval()
        return {
            "signal decoder, 16 frames and the audio image": count(network, lambda: network(x, torch.empty(pictures), once)),
            "its condition": count(network, condition),
            "both encoders": count(network, lambda: network.posterior(AV(torch.empty(1, 4, FRAMES, 32, 32), x[:1]))),
            "frame codec's decoder, 17 pictures of 256x256": count(codec, lambda: codec.decode(x)),
            "frame codec's encoder, the same": count(codec, lambda: codec.encode(torch.empty(pictures, 3, 256, 256))),
        }


def main() -> None:
    base, sizes, decoding = mm_diffusion(), {size: generator(size) for size in SIZES}, autoencoder()
    print("| one evaluation | parameters | layers | attention's products | MM-Diffusion's layers over these |")
    print("|---|---|---|---|---|")
    for name, found in {"MM-Diffusion": base, **{f"MM-LDM {size}": own for size, own in sizes.items()}, **decoding}.items():
        costs = f"{found.parameters / 1e6:.2f} M | {found.layers / 1e9:.1f} G | {found.products / 1e9:.1f} G"
        print(f"| {name} | {costs} | {base.layers / found.layers:.2f} |")
    drawn, told, encoded, rendered, perceived = decoding.values()
    # Guidance doubles every evaluation of MM-LDM, and its decoder is guided as well.
    latents = 2 * 50 * sizes["S"].layers
    pictures = 2 * (50 * drawn.layers + told.layers) + rendered.layers
    clips = {
        "MM-Diffusion, DDPM, 1000 steps": 1000 * base.layers,
        "MM-Diffusion, DDIM, 50 steps": 50 * base.layers,
        "MM-Diffusion, DPM-Solver, 20 evaluations": 20 * base.layers,
        "MM-LDM S, latents alone, DDIM 50, no guidance": latents // 2,
        "MM-LDM S, latents alone, DDIM 50, guided": latents,
        "MM-LDM S, latents guided, and decoded by 50 guided steps": latents + pictures,
    }
    # A gradient costs twice what the evaluation costs.
    training = {
        "MM-Diffusion": 3 * base.layers,
        "MM-LDM S, latents cached": 3 * sizes["S"].layers,
        "MM-LDM S, latents encoded at every step": 3 * sizes["S"].layers + encoded.layers + perceived.layers,
    }
    for title, costs in {"a whole clip": clips, "training, one clip a step": training}.items():
        print(f"\n| {title} | layers |\n|---|---|")
        for name, cost in costs.items():
            print(f"| {name} | {cost / 1e12:.2f} T |")


if __name__ == "__main__":
    main()

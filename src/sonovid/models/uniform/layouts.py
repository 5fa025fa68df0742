"""Two layouts of a pair of latents as one grid of tokens [b t s d], in which step j holds time j of both streams.

Both are time-major: video frames and audio steps of the same time are in the same grid step. (A plain reshape of the audio to the
shape of the video would have the same size but scramble time.) The order within a step is task, audio, video.
"""

from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from sonovid.core.av import AV
from sonovid.models.uniform.blocks import sincos_2d

NUM_TASKS = 3


class LayoutSizes:
    """The sizes of a model as tuples (a config.json gives lists).

    Args:
        patch: (frames, rows, columns) of one video token.
        video: (channels, rows, columns) of the video latents. Rows and columns of inputs may differ if the layout allows it.
        audio: (channels, bins, steps per latent frame) of the audio latents.

    Raises:
        ValueError: A size is not three positive integers, or the latents are not a multiple of the patch.
    """

    def __init__(self, patch: Sequence[int], video: Sequence[int], audio: Sequence[int]):
        for name, sizes in (("patch_size", patch), ("video", video), ("audio", audio)):
            if len(sizes) != 3 or min(sizes) < 1:
                raise ValueError(f"UniForm: {name}={tuple(sizes)}; expected three positive integers")
        if video[1] % patch[1] or video[2] % patch[2]:
            raise ValueError(f"UniForm: latents of {video[1]} x {video[2]} are not whole patches of {patch[1]} x {patch[2]}")
        self.patch, self.video, self.audio = tuple(patch), tuple(video), tuple(audio)


class Layout(nn.Module):
    """Base class of the layouts: checks of a pair, and the coordinates of the video tokens."""

    def __init__(self, sizes: LayoutSizes, width: int, outputs: int):
        super().__init__()
        self.patch, self.video, self.audio, self.outputs = sizes.patch, sizes.video, sizes.audio, outputs

    @property
    def num_leading_tokens(self) -> int:
        """Number of tokens of each step before those of the video: task and audio."""
        raise NotImplementedError

    @property
    def heads(self) -> list[nn.Linear]:
        """Output layers."""
        raise NotImplementedError

    def forward(self, x: AV, task: Int[Tensor, "b"]) -> Float[Tensor, "b t s d"]:
        """Same as `pack`, as a module call: offloading hooks load the weights for it."""
        return self.pack(x, task)

    def pack(self, x: AV, task: Int[Tensor, "b"]) -> Float[Tensor, "b t s d"]:
        """Tokens of a pair."""
        raise NotImplementedError

    def unpack(self, tokens: Float[Tensor, "b t s d"], like: AV) -> list[AV]:
        """One pair per output (prediction, variance), in the shapes of `like`."""
        raise NotImplementedError

    def check(self, x: AV) -> None:
        """Raise ValueError if the streams do not fit each other or the model."""
        (b, channels, t, h, w), (audio_b, audio_channels, steps, bins) = x.video.shape, x.audio.shape
        if b != audio_b:
            raise ValueError(f"UniForm: a batch of {b} videos and {audio_b} audio clips; pass equally many of both")
        if channels != self.video[0] or (audio_channels, bins) != self.audio[:2]:
            raise ValueError(
                f"UniForm: latents of {channels} video channels and {audio_channels} x {bins} audio channels x bins; "
                f"this model has {self.video[0]} and {self.audio[0]} x {self.audio[1]}: use the codecs it was trained with"
            )
        if steps != t * self.audio[2]:
            raise ValueError(
                f"UniForm: {t} latent frames and {steps} audio steps cannot be fused; expected {self.audio[2]} steps for each "
                f"frame, {t * self.audio[2]}: cut both streams to the same length"
            )
        if t % self.patch[0] or h % self.patch[1] or w % self.patch[2]:
            raise ValueError(f"UniForm: latent video of {t} x {h} x {w} is not whole patches of {self.patch}; change the size")

    def video_grid(self, x: AV, device: torch.device) -> tuple[Tensor, Tensor]:
        """Row and column coordinates of the video tokens. Sizes other than the model's are interpolated to its extent.

        Deviation: coordinates count patches, as in PixArt at 256 pixels; STDiT3 halves them there.
        """
        axes = []
        for axis in (1, 2):
            expected, actual = self.video[axis] // self.patch[axis], x.video.shape[axis + 2] // self.patch[axis]
            axes.append(torch.arange(actual, device=device, dtype=torch.float32) * (expected / actual))
        return axes[0], axes[1]


class ColumnsLayout(Layout):
    """The layout of the paper (section 3.2.2): the reshaped audio and the task become columns beside those of the video.

    Of audio [b c l f], the c * f values of each step become a column of (channels, rows) of the video, so c * f must equal
    channels * rows. The steps of one latent frame are adjacent columns. In the paper 8 x 16 = 4 x 32 and 100 = 20 x 5, which
    gives 5 audio columns, and 32 + 5 + 1 = 38 is a multiple of the patch size 2.

    Deviation: the paper gives neither the order of the columns nor the axes of the reshape. With task, audio, video, one patch
    holds the task column and the first audio step, and no patch mixes audio and video, so each token has one timestep. The task
    column is equal in every frame, so that clips may have any length.

    Args:
        sizes: Sizes of the model.
        width: Channels of the tokens.
        outputs: Number of outputs: 1, or 2 with a variance.

    Raises:
        ValueError: The sizes do not fit this layout.
    """

    def __init__(self, sizes: LayoutSizes, width: int, outputs: int):
        super().__init__(sizes, width, outputs)
        patch, video, audio = sizes.patch, sizes.video, sizes.audio
        if audio[0] * audio[1] != video[0] * video[1]:
            raise ValueError(
                f"columns layout: audio channels x bins = {audio[0]} x {audio[1]} must equal video channels x rows = "
                f"{video[0]} x {video[1]}; choose other codecs or the tokens layout"
            )
        if (audio[2] + 1) % patch[2]:
            raise ValueError(
                f"columns layout: {audio[2]} audio columns and the task's are not whole patches of {patch[2]} columns; "
                "choose another patch or the tokens layout"
            )
        values = video[0] * patch[0] * patch[1] * patch[2]
        self.task = nn.Embedding(NUM_TASKS, video[0] * video[1])
        self.embed = nn.Linear(values, width)
        self.head = nn.Linear(width, outputs * values)
        nn.init.normal_(self.task.weight)
        nn.init.xavier_uniform_(self.embed.weight)

    @property
    def num_leading_tokens(self) -> int:
        return (self.audio[2] + 1) // self.patch[2] * (self.video[1] // self.patch[1])

    @property
    def heads(self) -> list[nn.Linear]:
        return [self.head]

    def check(self, x: AV) -> None:
        super().check(x)
        if x.video.shape[3] != self.video[1]:
            raise ValueError(f"columns layout: latent video of {x.video.shape[3]} rows; audio columns fit {self.video[1]} only")

    def fuse(self, x: AV, task: Int[Tensor, "b"]) -> Float[Tensor, "b c t h w2"]:
        """Concatenate task, audio and video along the columns."""
        t = x.video.shape[2]
        audio = rearrange(x.audio, "b c (t k) f -> b (c f) t k", t=t)
        audio = rearrange(audio, "b (c h) t k -> b c t h k", h=self.video[1])
        column = rearrange(self.task(task), "b (c h) -> b c 1 h 1", h=self.video[1]).expand(-1, -1, t, -1, -1)
        return torch.cat([column.to(x.video.dtype), audio, x.video], dim=-1)

    def split(self, fused: Float[Tensor, "b c t h w2"]) -> AV:
        """The inverse of `fuse`, without the task column."""
        _, audio, video = fused.split([1, self.audio[2], fused.shape[-1] - self.audio[2] - 1], dim=-1)
        audio = rearrange(audio, "b c t h k -> b (c h) (t k)")
        return AV(video, rearrange(audio, "b (c f) l -> b c l f", f=self.audio[1]))

    def pack(self, x: AV, task: Int[Tensor, "b"]) -> Float[Tensor, "b t s d"]:
        """Tokens of a pair: columns of patches from left to right."""
        pt, ph, pw = self.patch
        fused = rearrange(self.fuse(x, task), "b c (t pt) (h ph) (w pw) -> b t (w h) (c pt ph pw)", pt=pt, ph=ph, pw=pw)
        rows, columns = self.video_grid(x, fused.device)
        num_leading_tokens = (self.audio[2] + 1) // pw
        # Video columns start at zero, as in a video or image model, and only they are interpolated.
        columns = torch.cat([torch.arange(-num_leading_tokens, 0, device=fused.device, dtype=torch.float32), columns])
        tokens = self.embed(fused)
        positions = rearrange(sincos_2d(rows, columns, tokens.shape[-1]), "h w d -> (w h) d")
        return tokens + positions.to(tokens.dtype)

    def unpack(self, tokens: Float[Tensor, "b t s d"], like: AV) -> list[AV]:
        """One pair per output (prediction, variance), in the shapes of `like`."""
        pt, ph, pw = self.patch
        h = like.video.shape[3] // ph
        fused = rearrange(
            self.head(tokens),
            "b t (w h) (o c pt ph pw) -> o b c (t pt) (h ph) (w pw)",
            o=self.outputs, h=h, pt=pt, ph=ph, pw=pw,
        )  # fmt: skip
        return [self.split(one) for one in fused]


class TokensLayout(Layout):
    """A patch embedding and an output layer per stream, one token per audio step, and one task token in each grid step.

    Deviation: not in the paper. It works with any two codecs, since neither stream takes the shape of the other, and a grid step
    may span several latent frames.

    Args:
        sizes: Sizes of the model.
        width: Channels of the tokens.
        outputs: Number of outputs: 1, or 2 with a variance.
    """

    def __init__(self, sizes: LayoutSizes, width: int, outputs: int):
        super().__init__(sizes, width, outputs)
        patch, video, audio = sizes.patch, sizes.video, sizes.audio
        values = AV(video[0] * patch[0] * patch[1] * patch[2], audio[0] * audio[1])
        self.task = nn.Embedding(NUM_TASKS, width)
        self.audio_places = nn.Parameter(0.02 * torch.randn(self.steps, width))
        self.embed_video, self.embed_audio = nn.Linear(values.video, width), nn.Linear(values.audio, width)
        self.head_video, self.head_audio = nn.Linear(width, outputs * values.video), nn.Linear(width, outputs * values.audio)
        nn.init.normal_(self.task.weight, std=0.02)
        nn.init.xavier_uniform_(self.embed_video.weight)
        nn.init.xavier_uniform_(self.embed_audio.weight)

    @property
    def steps(self) -> int:
        """Audio steps, and audio tokens, per grid step."""
        return self.patch[0] * self.audio[2]

    @property
    def num_leading_tokens(self) -> int:
        return 1 + self.steps

    @property
    def heads(self) -> list[nn.Linear]:
        return [self.head_video, self.head_audio]

    def patches(self, x: AV) -> AV:
        """Patches of both streams: video [b t s p], audio [b t k (c f)]."""
        pt, ph, pw = self.patch
        return AV(
            rearrange(x.video, "b c (t pt) (h ph) (w pw) -> b t (h w) (c pt ph pw)", pt=pt, ph=ph, pw=pw),
            rearrange(x.audio, "b c (t k) f -> b t k (c f)", k=self.steps),
        )

    def pack(self, x: AV, task: Int[Tensor, "b"]) -> Float[Tensor, "b t s d"]:
        """Tokens of a pair: the task token, the audio steps, then the video patches row by row."""
        patches = self.patches(x)
        video, audio = self.embed_video(patches.video), self.embed_audio(patches.audio)
        rows, columns = self.video_grid(x, video.device)
        positions = sincos_2d(rows, columns, video.shape[-1]).flatten(0, 1)
        task_token = self.task(task)[:, None, None].expand(-1, video.shape[1], -1, -1)
        audio = audio + self.audio_places.to(audio.dtype)
        return torch.cat([task_token.to(video.dtype), audio, video + positions.to(video.dtype)], dim=2)

    def unpack(self, tokens: Float[Tensor, "b t s d"], like: AV) -> list[AV]:
        """One pair per output (prediction, variance), in the shapes of `like`."""
        pt, ph, pw = self.patch
        video, audio = (
            self.head_video(tokens[:, :, self.num_leading_tokens :]),
            self.head_audio(tokens[:, :, 1 : self.num_leading_tokens]),
        )
        h = like.video.shape[3] // ph
        videos = rearrange(
            video,
            "b t (h w) (o c pt ph pw) -> o b c (t pt) (h ph) (w pw)",
            o=self.outputs, h=h, pt=pt, ph=ph, pw=pw,
        )  # fmt: skip
        audios = rearrange(audio, "b t k (o c f) -> o b c (t k) f", o=self.outputs, f=self.audio[1])
        return [AV(*pair) for pair in zip(videos, audios, strict=True)]

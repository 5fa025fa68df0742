"""Synchformer (Iashin et al. 2024): a video transformer with divided attention, an AST, and a joint transformer.

The state dict keys are the published ones. A segment is 16 frames at 25 per second and 0.64 s of audio; segments overlap by half.
A segment has 8 video tokens and 6 audio tokens. 14 segments of both and two special tokens are the 198 positions of the joint
transformer.
"""

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from sonovid.metrics.extractors.vit import Attention, Mlp, Patches, attention

SEGMENTS, CLASSES = 14, 21
FRAMES, SIDE, MEL_FRAMES, BINS = 16, 224, 66, 128
VIDEO_TOKENS = FRAMES // 2


class DividedAttention(Attention):
    """Divided attention: each patch attends to one axis and the class token, which attends to all (Bertasius et al. 2021)."""

    def forward(self, x: Float[Tensor, "b k d"], frames: int | None = None, axis: str = "f") -> Float[Tensor, "b k d"]:
        q, k, v = self.project(x)
        cls_token = attention(q[:, :1], k, v, self.heads)
        grouped = f"b (f n) d -> (b {'n' if axis == 'f' else 'f'}) {axis} d"
        within = [rearrange(part[:, 1:], grouped, f=frames) for part in (q, k, v)]
        groups = len(within[0]) // len(x)
        q, k, v = (
            within[0],
            *(
                torch.cat([repeat(part[:, :1], "b k d -> (b r) k d", r=groups), some], 1)
                for part, some in zip((k, v), within[1:], strict=True)
            ),
        )
        back = f"(b {'n' if axis == 'f' else 'f'}) {axis} d -> b (f n) d"
        patches = rearrange(attention(q, k, v, self.heads), back, b=len(x))
        return self.proj(torch.cat([cls_token, patches], 1))


class DividedBlock(nn.Module):
    """Attention over time, then within each frame, then an MLP."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width, 1e-6) for _ in range(3))
        self.attn, self.timeattn = DividedAttention(width, heads), DividedAttention(width, heads)
        self.mlp = Mlp(width, 4 * width)

    def forward(self, x: Float[Tensor, "b k d"], frames: int) -> Float[Tensor, "b k d"]:
        x = x + self.timeattn(self.norm3(x), frames, "f")
        x = x + self.attn(self.norm1(x), frames, "n")
        return x + self.mlp(self.norm2(x))


class Aggregate(nn.TransformerEncoderLayer):
    """A transformer layer whose class token aggregates a set of tokens, [b k d] -> [b d]."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads, 4 * width, 0.0, F.gelu, 1e-6, batch_first=True, norm_first=True)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))

    def forward(self, src: Float[Tensor, "b k d"], *_: None) -> Float[Tensor, "b d"]:  # type: ignore[override]
        return super().forward(torch.cat([self.cls_token.expand(len(src), -1, -1), src], 1))[:, 0]


class VideoEncoder(nn.Module):
    """Video segments in [-1, 1] to a token per two frames, [b 3 16 224 224] -> [b 8 d]."""

    def __init__(self, width: int, depth: int, heads: int, patch: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, (SIDE // patch) ** 2 + 1, width))
        self.temp_embed = nn.Parameter(torch.zeros(1, VIDEO_TOKENS, width))
        self.patch_embed_3d = Patches(3, width, (2, patch, patch))
        self.blocks = nn.ModuleList(DividedBlock(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, 1e-6)
        self.spatial_attn_agg = Aggregate(width, heads)

    def forward(self, images: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b k d"]:
        x = self.patch_embed_3d(images)
        places = rearrange(self.pos_embed[:, None, 1:] + self.temp_embed[:, :, None], "b f n d -> b (f n) d")
        x = torch.cat([(self.cls_token + self.pos_embed[:, :1]).expand(len(x), -1, -1), x + places], 1)
        for block in self.blocks:
            x = block(x, VIDEO_TOKENS)
        x = rearrange(self.norm(x[:, 1:]), "b (f n) d -> (b f) n d", f=VIDEO_TOKENS)
        return rearrange(self.spatial_attn_agg(x), "(b f) d -> b f d", f=VIDEO_TOKENS)


class AstLayer(nn.Module):
    """A layer of the Audio Spectrogram Transformer, with the state dict keys of transformers 4."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        parts = {name: nn.Linear(width, width) for name in ("query", "key", "value")}
        self.attention = nn.ModuleDict({"attention": nn.ModuleDict(parts), "output": _dense(width, width)})
        self.intermediate, self.output = _dense(width, 4 * width), _dense(4 * width, width)
        self.layernorm_before, self.layernorm_after = nn.LayerNorm(width, 1e-12), nn.LayerNorm(width, 1e-12)

    def forward(self, x: Float[Tensor, "b k d"]) -> Float[Tensor, "b k d"]:
        before = self.layernorm_before(x)
        own, out = self.attention["attention"], self.attention["output"]
        assert isinstance(own, nn.ModuleDict)
        assert isinstance(out, nn.ModuleDict)
        x = x + out["dense"](attention(own["query"](before), own["key"](before), own["value"](before), self.heads))
        return x + self.output["dense"](F.gelu(self.intermediate["dense"](self.layernorm_after(x))))


def _dense(in_features: int, out_features: int) -> nn.ModuleDict:
    return nn.ModuleDict({"dense": nn.Linear(in_features, out_features)})


class AstEmbeddings(nn.Module):
    """A spectrogram to overlapping patches after two special tokens, [b l f] -> [b k d]; frequency is the slower axis."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.shape = ((BINS - 16) // stride + 1, (MEL_FRAMES - 16) // stride + 1)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.distillation_token = nn.Parameter(torch.zeros(1, 1, width))
        self.position_embeddings = nn.Parameter(torch.zeros(1, self.shape[0] * self.shape[1] + 2, width))
        self.patch_embeddings = nn.ModuleDict({"projection": nn.Conv2d(1, width, 16, stride)})

    def forward(self, mel: Float[Tensor, "b l f"]) -> Float[Tensor, "b k d"]:
        x = self.patch_embeddings["projection"](rearrange(mel, "b l f -> b 1 f l")).flatten(2).mT
        special_tokens = torch.cat([self.cls_token, self.distillation_token], 1).expand(len(x), -1, -1)
        return torch.cat([special_tokens, x], 1) + self.position_embeddings


class Ast(nn.Module):
    """The Audio Spectrogram Transformer, [b l f] -> [b 2+k d]."""

    def __init__(self, width: int, depth: int, heads: int, stride: int) -> None:
        super().__init__()
        self.embeddings = AstEmbeddings(width, stride)
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(AstLayer(width, heads) for _ in range(depth))})
        self.layernorm = nn.LayerNorm(width, 1e-12)

    def forward(self, mel: Float[Tensor, "b l f"]) -> Float[Tensor, "b k d"]:
        x = self.embeddings(mel)
        layers = self.encoder["layer"]
        assert isinstance(layers, nn.ModuleList)
        for layer in layers:
            x = layer(x)
        return self.layernorm(x)


class AudioEncoder(nn.Module):
    """Normalised log-mel segments to a token per time step of patches, [b 66 128] -> [b 6 d]."""

    def __init__(self, width: int, depth: int, heads: int, stride: int) -> None:
        super().__init__()
        self.ast = Ast(width, depth, heads, stride)
        self.freq_attn_agg = Aggregate(width, heads)

    def forward(self, mel: Float[Tensor, "b l f"]) -> Float[Tensor, "b k d"]:
        bands, steps = self.ast.embeddings.shape
        x = rearrange(self.ast(mel)[:, 2:], "b (f t) d -> (b t) f d", f=bands, t=steps)
        return rearrange(self.freq_attn_agg(x), "(b t) d -> b t d", t=steps)


class JointBlock(nn.Module):
    """A transformer block with separate key, query and value projections."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.ModuleDict({name: nn.Linear(width, width) for name in ("key", "query", "value", "proj")})
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Float[Tensor, "b k d"]) -> Float[Tensor, "b k d"]:
        y = self.ln1(x)
        x = x + self.attn["proj"](attention(self.attn["query"](y), self.attn["key"](y), self.attn["value"](y), self.heads))
        return x + self.mlp(self.ln2(x))


class Joint(nn.Module):
    """Tokens of both streams of 14 segments to logits over 21 offsets, [b 112 d], [b 84 d] -> [b 21]."""

    def __init__(self, width: int, depth: int, heads: int, places: int) -> None:
        super().__init__()
        self.vis_in_lnorm, self.aud_in_lnorm, self.ln_f = (nn.LayerNorm(width) for _ in range(3))
        self.OFF_tok, self.MOD_tok = (nn.Parameter(torch.zeros(1, 1, width)) for _ in range(2))
        self.pos_emb_cfg = nn.ParameterDict({"pos_emb": torch.zeros(1, places, width)})
        self.blocks = nn.Sequential(*(JointBlock(width, heads) for _ in range(depth)))
        self.off_head = nn.Linear(width, CLASSES)

    def forward(self, video: Float[Tensor, "b k d"], audio: Float[Tensor, "b m d"]) -> Float[Tensor, "b c"]:
        offset, between = (token.expand(len(video), -1, -1) for token in (self.OFF_tok, self.MOD_tok))
        x = torch.cat([offset, self.vis_in_lnorm(video), between, self.aud_in_lnorm(audio)], 1)
        return self.off_head(self.ln_f(self.blocks(x + self.pos_emb_cfg["pos_emb"]))[:, 0])


class Synchformer(nn.Module):
    """The whole network. The encoders take single segments, `transformer` takes the tokens of 14 segments of both streams."""

    def __init__(
        self, width: int = 768, depth: int = 12, heads: int = 12, patch: int = 16, stride: int = 10, joint_heads: int = 8
    ):
        super().__init__()
        self.vfeat_extractor = VideoEncoder(width, depth, heads, patch)
        self.afeat_extractor = AudioEncoder(width, depth, heads, stride)
        self.vproj, self.aproj = nn.Linear(width, width), nn.Linear(width, width)
        steps = self.afeat_extractor.ast.embeddings.shape[1]
        self.transformer = Joint(width, 3, joint_heads, 2 + SEGMENTS * (VIDEO_TOKENS + steps))

    def encode_video(self, images: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b k d"]:
        """The tokens of video segments, the input of the joint transformer."""
        return self.vproj(self.vfeat_extractor(images))

    def encode_audio(self, mel: Float[Tensor, "b l f"]) -> Float[Tensor, "b k d"]:
        """The tokens of audio segments, the input of the joint transformer."""
        return self.aproj(self.afeat_extractor(mel))

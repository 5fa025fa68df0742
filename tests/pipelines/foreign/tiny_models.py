"""Tiny random models of the joint audio-video families of diffusers, saved as folders; nothing is downloaded."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

CLASSES = {
    "ltx2": "LTX2Pipeline",
    "kandinsky6": "Kandinsky6TI2VAPipeline",
    "cosmos3": "Cosmos3OmniPipeline",
    "minimax_h3": "MiniMaxH3Scheduler",
}
WORDS = ["a", "the", "cat", "dog", "ball", "glass", "metal", "bounces", "on", "floor", "video", "is", "not", "of"]


def skip_without(name: str) -> None:
    """Skip the test where the installed diffusers has no such family."""
    import diffusers

    if not hasattr(diffusers, CLASSES[name]):
        pytest.skip(f"diffusers {diffusers.__version__} has no {CLASSES[name]}")


@contextmanager
def seeded(seed: int = 0) -> Iterator[None]:
    """The same random weights whatever was drawn before, and the global generator as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def tokenizer(max_length: int = 16, special: tuple[str, ...] = (), chat: bool = False) -> Any:
    """A word-level tokenizer of a few words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    names = ["<pad>", "<eos>", "<bos>", "<unk>", *special, *WORDS]
    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(names)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    made = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        eos_token="<eos>",
        bos_token="<bos>",
        unk_token="<unk>",
        additional_special_tokens=list(special),
        model_max_length=max_length,
    )
    if chat:
        made.chat_template = "{% for m in messages %}{{ m['content'] }} {% endfor %}"
    return made


def gemma() -> Any:
    """Gemma 3 with two layers of width 32."""
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    text = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "vocab_size": 64,
        "sliding_window": 16,
    }
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    return Gemma3ForConditionalGeneration(
        Gemma3Config(
            text_config=text,
            vision_config=vision,
            mm_tokens_per_image=4,
            image_token_index=5,
            boi_token_index=6,
            eoi_token_index=7,
        )
    )


def ltx2(folder: Path, **transformer: Any) -> Path:
    """LTX-2: pictures of 32x32 and more, 2k + 1 frames, two channels at 16 kHz."""
    import diffusers
    from diffusers.pipelines.ltx2 import LTX2TextConnectors
    from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder

    with seeded():
        text_encoder = gemma()
        settings = {
            "in_channels": 4,
            "out_channels": 4,
            "patch_size": 1,
            "patch_size_t": 1,
            "num_attention_heads": 2,
            "attention_head_dim": 8,
            "cross_attention_dim": 16,
            "audio_in_channels": 32,
            "audio_out_channels": 32,
            "audio_num_attention_heads": 2,
            "audio_attention_head_dim": 4,
            "audio_cross_attention_dim": 8,
            "num_layers": 2,
            "qk_norm": "rms_norm_across_heads",
            "caption_channels": 32,
            "rope_double_precision": False,
            "rope_type": "split",
            "vae_scale_factors": (2, 8, 8),
        }
        network = diffusers.LTX2VideoTransformer3DModel(**{**settings, **transformer})
        connectors = LTX2TextConnectors(
            caption_channels=32,
            text_proj_in_factor=3,
            video_connector_num_attention_heads=4,
            video_connector_attention_head_dim=8,
            video_connector_num_layers=1,
            video_connector_num_learnable_registers=None,
            audio_connector_num_attention_heads=4,
            audio_connector_attention_head_dim=8,
            audio_connector_num_layers=1,
            audio_connector_num_learnable_registers=None,
            connector_rope_base_seq_len=32,
            rope_theta=10000.0,
            rope_double_precision=False,
            causal_temporal_positioning=False,
            rope_type="split",
        )
        vae = diffusers.AutoencoderKLLTX2Video(
            latent_channels=4,
            block_out_channels=(8,),
            decoder_block_out_channels=(8,),
            layers_per_block=(1,),
            decoder_layers_per_block=(1, 1),
            spatio_temporal_scaling=(True,),
            decoder_spatio_temporal_scaling=(True,),
            decoder_inject_noise=(False, False),
            downsample_type=("spatiotemporal",),
            upsample_residual=(False,),
            upsample_factor=(1,),
            timestep_conditioning=False,
            patch_size=4,
            patch_size_t=1,
            encoder_causal=True,
            decoder_causal=False,
        )
        vae.use_framewise_encoding = vae.use_framewise_decoding = False
        audio_vae = diffusers.AutoencoderKLLTX2Audio(
            base_channels=32,
            ch_mult=(1, 1, 1),
            num_res_blocks=1,
            resolution=64,
            latent_channels=2,
            mel_bins=64,
        )
        vocoder = LTX2Vocoder(
            in_channels=128,
            hidden_channels=16,
            out_channels=2,
            upsample_kernel_sizes=[16, 15, 8, 4],
            upsample_factors=[5, 4, 4, 2],
            resnet_kernel_sizes=[3],
            resnet_dilations=[[1, 3, 5]],
            output_sampling_rate=16000,
        )
        pipe = diffusers.LTX2Pipeline(
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
            vae=vae,
            audio_vae=audio_vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer(),
            connectors=connectors,
            transformer=network,
            vocoder=vocoder,
        )
    pipe.save_pretrained(folder)
    return folder


def kandinsky6(folder: Path) -> Path:
    """Kandinsky 6: pictures of 16x16 and more, 4k + 1 frames, one channel at 1600 Hz."""
    import diffusers
    import transformers

    with seeded():
        vae = diffusers.AutoencoderKLHunyuanVideo(
            block_out_channels=[8, 8, 8],
            down_block_types=["HunyuanVideoDownBlock3D"] * 3,
            up_block_types=["HunyuanVideoUpBlock3D"] * 3,
            latent_channels=4,
            layers_per_block=1,
            mid_block_add_attention=False,
            norm_num_groups=2,
            spatial_compression_ratio=8,
            temporal_compression_ratio=4,
        )
        audio_vae = diffusers.MMAudioVAE(
            mel_bins=8,
            latent_channels=4,
            hidden_channels=8,
            channel_multipliers=(1, 2),
            layers_per_block=1,
            sample_rate=1600,
            n_fft=64,
            hop_length=16,
        )
        vocoder = diffusers.MMAudioVocoder(
            num_mels=8,
            upsample_initial_channel=8,
            upsample_rates=(4, 4),
            upsample_kernel_sizes=(8, 8),
            resblock_kernel_sizes=(3,),
            resblock_dilation_sizes=((1, 3),),
        )
        rope = {"mrope_section": [2, 2, 4], "rope_type": "default", "type": "default"}
        text_encoder = transformers.Qwen2_5_VLForConditionalGeneration(
            transformers.Qwen2_5_VLConfig(
                text_config={
                    "hidden_size": 32,
                    "intermediate_size": 32,
                    "num_hidden_layers": 2,
                    "num_attention_heads": 2,
                    "num_key_value_heads": 2,
                    "vocab_size": 64,
                    "rope_scaling": rope,
                    "rope_theta": 1000000.0,
                },
                vision_config={
                    "depth": 1,
                    "hidden_size": 32,
                    "intermediate_size": 32,
                    "num_heads": 2,
                    "out_hidden_size": 32,
                },
            )
        )
        clip = transformers.CLIPTextModel(
            transformers.CLIPTextConfig(
                vocab_size=64,
                hidden_size=16,
                intermediate_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                projection_dim=16,
                bos_token_id=2,
                eos_token_id=1,
                pad_token_id=0,
            )
        )
        network = diffusers.Kandinsky6Transformer3DModel(
            in_visual_dim=4,
            out_visual_dim=4,
            in_text_dim=32,
            in_text_dim2=16,
            time_dim=16,
            patch_size=(1, 2, 2),
            model_dim=12,
            ff_dim=24,
            num_text_blocks=1,
            num_visual_blocks=2,
            axes_dims=(2, 1, 1),
            visual_cond=True,
            in_audio_dim=4,
            out_audio_dim=4,
            visual_token_type_num_embeddings=2,
        )
        pipe = diffusers.Kandinsky6TI2VAPipeline(
            transformer=network,
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer(),
            text_encoder_2=clip,
            tokenizer_2=tokenizer(77),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=7.0),
            audio_vae=audio_vae,
            vocoder=vocoder,
        )
    pipe.save_pretrained(folder)
    return folder


def cosmos3(folder: Path) -> Path:
    """Cosmos 3: pictures of 16x16 and more, 4k + 1 frames, two channels at 1600 Hz."""
    import diffusers

    with seeded():
        network = diffusers.Cosmos3OmniTransformer(
            head_dim=6,
            hidden_act="relu2",
            hidden_size=6,
            intermediate_size=12,
            latent_channel=16,
            latent_patch_size=1,
            num_attention_heads=1,
            num_hidden_layers=1,
            num_key_value_heads=1,
            patch_latent_dim=16,
            qk_norm_for_text=False,
            rms_norm_eps=1e-5,
            rope_axes_dim=[1, 1, 1],
            vocab_size=64,
            sound_gen=True,
            sound_dim=4,
            sound_latent_fps=25.0,
        )
        vae = diffusers.AutoencoderKLWan(
            base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
        )
        sound = diffusers.Cosmos3AVAEAudioTokenizer(
            sampling_rate=1600,
            vocoder_input_dim=4,
            dec_dim=8,
            dec_c_mults=(1, 2, 2),
            dec_strides=(4, 4, 4),
            enc_dim=8,
            enc_latent_dim=8,
            enc_c_mults=(1, 2),
            enc_strides=(2, 2),
            enc_num_blocks=1,
        )
        pipe = diffusers.Cosmos3OmniPipeline(
            transformer=network,
            text_tokenizer=tokenizer(special=("<|vision_start|>",), chat=True),
            vae=vae,
            scheduler=diffusers.UniPCMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction"),
            sound_tokenizer=sound,
            enable_safety_checker=False,
        )
    pipe.save_pretrained(folder)
    return folder


def minimax_h3(folder: Path) -> Path:
    """MiniMax-H3: pictures of 32x32 and more, 124 frames and more at 24 per second, two channels at 160 Hz."""
    import diffusers
    import transformers

    with seeded():
        text = {
            "hidden_size": 8,
            "intermediate_size": 8,
            "num_hidden_layers": 51,
            "num_attention_heads": 1,
            "num_key_value_heads": 1,
            "head_dim": 8,
            "vocab_size": 64,
            "rope_scaling": {"rope_type": "default", "mrope_section": [1, 1, 2], "mrope_interleaved": True},
            "bos_token_id": 2,
            "eos_token_id": 1,
        }
        vision = {
            "depth": 1,
            "hidden_size": 8,
            "intermediate_size": 8,
            "num_heads": 1,
            "out_hidden_size": 8,
            "patch_size": 2,
            "num_position_embeddings": 16,
            "deepstack_visual_indexes": [0],
        }
        parts = {
            "text_encoder": transformers.Qwen3VLForConditionalGeneration(
                transformers.Qwen3VLConfig(text_config=text, vision_config=vision)
            ),
            "tokenizer": tokenizer(512),
            "vae": diffusers.AutoencoderKLMiniMaxH3(
                latent_channels=4,
                block_out_channels=(8, 8, 8, 8, 8, 8),
                layers_per_block=1,
                norm_num_groups=2,
                decoder_num_layers=1,
                decoder_num_attention_heads=1,
                decoder_attention_head_dim=16,
                decoder_num_register_tokens=1,
                latents_mean=(0.0,) * 4,
                latents_std=(1.0,) * 4,
            ),
            "audio_vae": diffusers.AutoencoderKLMiniMaxH3Audio(
                encoder_dim=4,
                encoder_rates=(2, 2),
                latent_dim=16,
                latent_channels=4,
                num_attention_heads=1,
                decoder_dim=16,
                decoder_rates=(2, 2),
                decoder_kernel_sizes=(4, 4),
                resblock_kernel_sizes=(3,),
                resblock_dilation_sizes=((1, 3),),
                sampling_rate=160,
                latents_mean=[0.0] * 4,
                latents_std=[1.0] * 4,
            ),
            "scheduler": diffusers.MiniMaxH3Scheduler(shift=12.0),
            "audio_scheduler": diffusers.MiniMaxH3Scheduler(shift=3.0),
            "transformer": diffusers.MiniMaxH3Transformer3DModel(
                num_attention_heads=1,
                attention_head_dim=12,
                hidden_size=8,
                num_layers=1,
                num_refiner_layers=1,
                ffn_dim=16,
                in_channels=4,
                audio_in_channels=4,
                text_dim=8,
                freq_dim=16,
                time_embed_hidden_dim=8,
                time_embed_dim=8,
                rope_freq_dim=2,
            ),
        }
    for name, part in parts.items():
        part.save_pretrained(folder / name)
    index = {
        name: [type(part).__module__.split(".")[0], type(part).__name__, {"subfolder": name, "pretrained_model_name_or_path": ""}]
        for name, part in parts.items()
    }
    index |= {"_class_name": "MiniMaxH3ModularPipeline", "_blocks_class_name": "MiniMaxH3Blocks", "_diffusers_version": "0.42.1"}
    (folder / "modular_model_index.json").write_text(json.dumps(index, indent=2))
    return folder

"""LAION's CLAP of transformers: joint embeddings of audio and text (Wu et al. 2023), for FAD, KAD and CLAP score.

Audio is cut into windows here, because the published feature extractor takes a random crop of audio longer than ten seconds.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Float32

from sonovid.metrics.base import Arrays, Extractor, InputSpec, Sample, UnusableClipError, WeightFile
from sonovid.metrics.extractors.pretrained import first_line, load_model, load_tokenizer, quiet

SAMPLE_RATE = 48000
SECONDS, HOP_SECONDS = 10, 1

WEIGHTS = WeightFile(
    "laion/clap-htsat-unfused",
    "the Hugging Face hub (0.6 GB; hf download laion/clap-htsat-unfused --revision 8fa0f1c6d043)",
    licence="Apache-2.0",
    revision="8fa0f1c6d0433df6e97c127f64b2a1d6c0dcda8a",
)


def get_waveform(sample: Sample, least: int = 1) -> Float32[np.ndarray, "n"]:
    """The first channel of a sample's audio.

    Raises:
        UnusableClipError: there is no audio, or fewer than `least` samples of it.
    """
    if sample.clip is None or sample.clip.waveform is None:
        raise UnusableClipError("has no audio")
    waveform = sample.clip.waveform[0]
    if len(waveform) < least:
        raise UnusableClipError(f"has {len(waveform)} samples of audio; {least} are needed")
    return waveform


def cut_windows(waveform: Float32[np.ndarray, "n"], length: int, hop: int) -> Float32[np.ndarray, "k m"]:
    """Cut windows of `length` samples, one starting every `hop` samples of audio, padded with silence (fadtk)."""
    starts = range(0, len(waveform), hop)
    padded = np.pad(waveform, (0, max(0, starts[-1] + length - len(waveform))))
    return np.stack([padded[start : start + length] for start in starts])


def repeat_to_length(waveform: Float32[np.ndarray, "n"], length: int) -> Float32[np.ndarray, "m"]:
    """Truncate to `length` samples, or repeat as often as the audio fits whole and pad with silence (LAION's `repeatpad`)."""
    whole = np.tile(waveform[:length], max(1, length // len(waveform)))[:length]
    return np.pad(whole, (0, length - len(whole)))


def embedding(output: Any) -> torch.Tensor:
    """The projected embedding of `get_audio_features` or `get_text_features`: the tensor itself until transformers 5."""
    return output if isinstance(output, torch.Tensor) else output.pooler_output


class ClapAudio(Extractor):
    """`features` [k 512], a row per window of 10 s every second; `whole` [512], the first 10 s, with short audio repeated.

    Rows are normalised to length one.
    """

    name = "clap_htsat_unfused"
    what = "CLAP's audio embeddings, LAION's HTSAT-tiny without fusion"
    input_spec: ClassVar[InputSpec] = InputSpec(audio=True, sample_rate=SAMPLE_RATE, mono=True)
    weights = (WEIGHTS,)
    settings: ClassVar = {
        "features": f"windows of {SECONDS} s every {HOP_SECONDS} s, padded with silence",
        "whole": f"the first {SECONDS} s, shorter sounds repeated",
        "length": "one",
    }
    batch_size = 4
    # Windows per forward pass.
    chunk_size: ClassVar[int] = 8

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        import transformers

        folder = Path(files[0])
        self.model, self.device = load_model(folder, "ClapModel", "clap", device=device), device
        try:
            with quiet():
                self.front_end = transformers.ClapFeatureExtractor.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise ValueError(f"{folder}: no settings of CLAP's feature extractor ({first_line(error)})") from None
        fused = self.model.config.audio_config.enable_fusion or self.front_end.truncation != "rand_trunc"
        if fused or self.front_end.sampling_rate != SAMPLE_RATE:
            raise ValueError(f"{folder}: a CLAP with fusion or of another sample rate; expected {self.weights[0].name}")

    def prepare(self, sample: Sample) -> Arrays:
        return {"waveform": get_waveform(sample)}

    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        length, hop = SECONDS * SAMPLE_RATE, HOP_SECONDS * SAMPLE_RATE
        sounds = [
            np.concatenate([cut_windows(w, length, hop), repeat_to_length(w, length)[None]])
            for w in (p["waveform"] for p in prepared)
        ]
        rows = self._rows(np.concatenate(sounds))
        parts = np.split(rows, np.cumsum([len(sound) for sound in sounds])[:-1])
        return [{"features": part[:-1], "whole": part[-1]} for part in parts]

    @torch.inference_mode()
    def _rows(self, sounds: Float32[np.ndarray, "k n"]) -> Float[np.ndarray, "k d"]:
        """Embeddings of windows that have the network's input length."""
        rows = []
        for some in np.array_split(sounds, -(-len(sounds) // self.chunk_size)):
            mel = self.front_end(list(some), sampling_rate=SAMPLE_RATE, return_tensors="pt")["input_features"]
            rows.append(embedding(self.model.get_audio_features(input_features=mel.float().to(self.device))))
        return torch.nn.functional.normalize(torch.cat(rows), dim=-1).cpu().numpy()


class ClapText(Extractor):
    """`features` [512]: the caption's embedding, of length one."""

    name = "clap_htsat_unfused_text"
    what = "CLAP's text embeddings, of the same checkpoint"
    input_spec: ClassVar[InputSpec] = InputSpec(text=True)
    weights = (WEIGHTS,)
    settings: ClassVar = {"text": "the caption as it is", "length": "one"}
    batch_size = 32

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        folder = Path(files[0])
        self.model, self.device = load_model(folder, "ClapModel", "clap", device=device), device
        self.tokenizer = load_tokenizer(folder)
        # RoBERTa's positions start after the padding index.
        config = self.model.config.text_config
        self.longest = min(self.tokenizer.model_max_length, config.max_position_embeddings - config.pad_token_id - 1)

    def prepare(self, sample: Sample) -> Arrays:
        return {"caption": get_caption(sample)}

    @torch.inference_mode()
    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        texts = [str(p["caption"]) for p in prepared]
        tokens = self.tokenizer(texts, padding=True, truncation=True, max_length=self.longest, return_tensors="pt").to(
            self.device
        )
        output = self.model.get_text_features(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
        rows = torch.nn.functional.normalize(embedding(output), dim=-1).cpu().numpy()
        return [{"features": row} for row in rows]


def get_caption(sample: Sample) -> np.ndarray:
    """The caption of a sample, as an array holding one string.

    Raises:
        UnusableClipError: it has none.
    """
    caption = sample.caption.strip()
    if not caption:
        raise UnusableClipError("has no caption")
    return np.array(caption)

"""The Audio Spectrogram Transformer of transformers (Gong et al. 2021): AudioSet's 527 classes, for FD and KL of audio."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float32

from sonovid.metrics.base import Arrays, Extractor, InputSpec, Sample, WeightFile
from sonovid.metrics.extractors.clap import get_waveform
from sonovid.metrics.extractors.front_ends import kaldi_fbank
from sonovid.metrics.extractors.pretrained import load_model

SAMPLE_RATE, BINS = 16000, 128
# Mean and standard deviation of these filter banks on AudioSet; values are divided by twice the latter.
MEAN, DEVIATION = -4.2677393, 4.5689974


class AstAudioSet(Extractor):
    """`features` [768], the input of the classifier, and `logits` [527] over AudioSet's classes, of the first 10.24 s."""

    name = "ast527"
    what = "AST trained on AudioSet (mAP 0.459): features before the classifier, and logits of 527 classes"
    input_spec: ClassVar[InputSpec] = InputSpec(audio=True, sample_rate=SAMPLE_RATE, mono=True)
    weights = (
        WeightFile(
            "MIT/ast-finetuned-audioset-10-10-0.4593",
            "the Hugging Face hub (0.35 GB; hf download MIT/ast-finetuned-audioset-10-10-0.4593 --revision f826b80d2822)",
            licence="BSD-3-Clause",
            revision="f826b80d28226b62986cc218e5cec390b1096902",
        ),
    )
    settings: ClassVar = {
        "front end": "Kaldi filter banks, 128 bins, 25 ms every 10 ms, zeros behind the end, then AudioSet's mean and deviation",
        "seconds": "the first 10.24",
    }
    batch_size = 4
    classes: ClassVar[int] = 527

    def load(self, files: Sequence[Path], device: str = "cpu") -> None:
        folder = Path(files[0])
        kind = "ASTForAudioClassification"
        self.model, self.device = load_model(folder, kind, "audio-spectrogram-transformer", device=device), device
        config = self.model.config
        if config.num_labels != self.classes or config.num_mel_bins != BINS:
            raise ValueError(
                f"{folder}: {config.num_labels} classes of {config.num_mel_bins} bins; expected {self.weights[0].name}"
            )

    def prepare(self, sample: Sample) -> Arrays:
        # One window of 25 ms is the minimum for a spectrum.
        return {"bank": kaldi_fbank(torch.from_numpy(get_waveform(sample, 400)), bins=BINS, sample_rate=SAMPLE_RATE).numpy()}

    @torch.inference_mode()
    def embed(self, prepared: Sequence[Arrays]) -> list[Arrays]:
        banks = [self._whole(p["bank"]) for p in prepared]
        batch = torch.from_numpy(np.stack(banks)).to(self.device)
        pooled = self.model.audio_spectrogram_transformer(batch).pooler_output
        logits = self.model.classifier(pooled)
        return [{"features": f, "logits": z} for f, z in zip(pooled.cpu().numpy(), logits.cpu().numpy(), strict=True)]

    def _whole(self, filter_bank: Float32[np.ndarray, "l f"]) -> Float32[np.ndarray, "m f"]:
        """Truncate or zero-pad to the length of the network, then normalise the padding too, as published."""
        length = self.model.config.max_length
        filter_bank = np.pad(filter_bank[:length], ((0, max(0, length - len(filter_bank))), (0, 0)))
        return ((filter_bank - MEAN) / (2 * DEVIATION)).astype(np.float32)

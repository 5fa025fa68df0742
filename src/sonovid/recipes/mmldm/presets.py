"""Geometries and training configs that the recipes of MM-LDM share."""

from dataclasses import replace
from fractions import Fraction

from sonovid.core.geometry import Geometry
from sonovid.recipes.configs import DataConfig
from sonovid.training.config import TrainingConfig

# 16 frames at 10 per second with audio at 44.1 kHz; on AudioSet 4 frames per second.
PAPER_GEOMETRY = Geometry(16, Fraction(10), 256, 256, 44100)
AUDIOSET_GEOMETRY = replace(PAPER_GEOMETRY, fps=Fraction(4))
# The published batches are 8 processes of 20 and of 28 clips; one process trains with the same batch by accumulate=8.
AUTOENCODER_TRAINING = TrainingConfig(
    steps=24_000,
    batch_size=20,
    learning_rate=1e-4,
    adversary_learning_rate=1e-4,
    warm_up=0,
    decay="constant",
    betas=(0.9, 0.999),
    clip=0.0,
    precision="bf16",
    average=0.0,
    validate_every=2000,
    validate_size=64,
    checkpoint_every=1000,
)
GENERATOR_TRAINING = replace(
    AUTOENCODER_TRAINING, steps=500_000, batch_size=28, learning_rate=1e-5, validate_every=10_000, checkpoint_every=5000
)
TINY_DATA = DataConfig(path="scenes:landscape:10:seed=0", held_out=0.2, workers=0, shard=8)

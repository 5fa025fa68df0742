"""Config and recipes of distillation."""

from dataclasses import dataclass, field, replace
from typing import Literal

from sonovid.recipes.configs import TINY_DATA, TINY_TRAINING, DataConfig, RunConfig
from sonovid.training.config import TrainingConfig


@dataclass(frozen=True)
class StudentConfig:
    """What the student learns.

    Attributes:
        sampling_steps: number of steps that the student samples in; 0 for the teacher's own number.
        substeps: the teacher's steps for each of them; 0 for guidance distillation, which leaves the solver as it is.
        guidance: guidance scale of the teacher's video; None for the teacher's own.
        audio_guidance: guidance scale of the teacher's audio; None for the teacher's own.
        guidance_interval: smallest and largest time with guidance; None for the teacher's own.
        target: what the guidance is added to: the estimate of the "teacher", or the clean latents of the "data", from which the
            student goes on learning (model guidance: Tang et al. 2025).
        joint: share of joint generation of video and audio.
        video_to_audio: share of video-to-audio generation.
        audio_to_video: share of audio-to-video generation.
        text_dropout: share of the samples without their prompt, for which the teacher is not guided.
    """

    sampling_steps: int = 0
    substeps: int = 0
    guidance: float | None = None
    audio_guidance: float | None = None
    guidance_interval: tuple[float, float] | None = None
    target: Literal["teacher", "data"] = "teacher"
    joint: float = 0.4
    video_to_audio: float = 0.3
    audio_to_video: float = 0.3
    text_dropout: float = 0.2


@dataclass(frozen=True)
class SamplingConfig:
    """The samples of a validation.

    Attributes:
        validation_clips: number of held-out clips that each validation generates samples for.
    """

    validation_clips: int = 2


@dataclass(frozen=True)
class DistillationConfig(RunConfig):
    """A distillation. Geometry, codecs, network and schedules are those of the teacher.

    Attributes:
        teacher: a model folder, "packaged" or "uniform", or OWNER/NAME of a repository.
        student: what the student learns.
    """

    teacher: str = "packaged"
    data: DataConfig = field(default_factory=DataConfig)
    student: StudentConfig = field(default_factory=StudentConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


def guidance() -> DistillationConfig:
    """Guidance distillation of a trained model, teacher=FOLDER: half as many evaluations of the network for the same steps."""
    return DistillationConfig(
        data=DataConfig(path="scenes:hits+bounces+landscape:12000:seed=20000000", held_out=0.01),
        training=TrainingConfig(
            steps=1000,
            batch_size=32,
            optimizer="muon",
            learning_rate=2e-4,
            warm_up=50,
            weight_decay=0.0,
            precision="bf16",
            average=0.99,
            validate_every=250,
            checkpoint_every=250,
            compile=True,
        ),
    )


def steps() -> DistillationConfig:
    """Progressive distillation of a trained model, teacher=FOLDER: eight DDIM steps, each in place of two."""
    return replace(guidance(), student=StudentConfig(sampling_steps=8, substeps=2))


def tiny() -> DistillationConfig:
    """A distillation of a tiny model, teacher=FOLDER; takes seconds on a CPU."""
    return replace(
        steps(),
        data=TINY_DATA,
        student=StudentConfig(sampling_steps=2, substeps=2),
        sampling=SamplingConfig(validation_clips=1),
        training=TINY_TRAINING,
    )

"""Distil a trained model: load the teacher, cache the latents of the clips, train a copy of its network, save a pipeline."""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sonovid.core.av import AV, Task
from sonovid.core.condition import Condition
from sonovid.diffusion.distillation import DistillationObjective, TeacherFactory
from sonovid.diffusion.sampler import Denoiser
from sonovid.pipelines.components import SOLVERS
from sonovid.pipelines.denoising import DenoiserBuilder
from sonovid.pipelines.pipeline import SoundingVideoPipeline
from sonovid.recipes.configs import ClipRunConfig
from sonovid.recipes.distillation.config import DistillationConfig
from sonovid.recipes.latent_data import prepare_latents
from sonovid.recipes.latent_training import write_samples
from sonovid.training.job import Job
from sonovid.training.loop import train

NO_GUIDANCE = AV(1.0, 1.0)


def run(recipe: DistillationConfig, recorded: dict[str, Any]) -> Path:
    """Distil a model.

    Args:
        recipe: the config.
        recorded: the plain values that are written to recipe.json.

    Returns:
        The folder of the student's pipeline. Its defaults are the student's steps and guidance scales of 1.

    Raises:
        ValueError: the teacher cannot be loaded, or generates one stream only, or there is nothing to distil.
    """
    teacher = SoundingVideoPipeline.from_pretrained(recipe.teacher)
    teacher.denoiser.float()
    if not all(teacher.generated_streams):
        raise ValueError(f"teacher={recipe.teacher}: it generates one stream only, and distillation needs a joint model")
    student = copy.deepcopy(teacher.denoiser).requires_grad_(True)
    objective = build_objective(recipe, teacher)
    clips = ClipRunConfig(out=recipe.out, geometry=teacher.geometry, data=recipe.data)
    data = prepare_latents(clips, teacher.codec, teacher.text_encoder)
    data = replace(data, classes=teacher.classes if len(teacher.classes) else None)
    teacher.denoiser.to("cuda" if torch.cuda.is_available() else "cpu").requires_grad_(False)
    if recipe.training.compile:
        teacher.denoiser.compile()

    def pipeline(network: nn.Module) -> SoundingVideoPipeline:
        return build_pipeline(recipe, network, teacher)

    def sample(network: nn.Module, folder: Path, step: int) -> None:
        write_samples(pipeline(network), data.windows[: recipe.validation_clips], data.load_clip, folder)

    job = Job(
        model=student,
        objective=objective,
        batch=data.batches(data.training),
        size=len(data.training),
        validation=data.batches(data.held_out) if data.held_out else None,
        validation_size=len(data.held_out) if data.held_out else 0,
        config=recipe.training,
        sample=sample,
        export=lambda network, folder: pipeline(network).save_pretrained(folder),
        recipe=recorded,
    )
    return train(job, Path(recipe.out), resume=recipe.resume)


def build_objective(recipe: DistillationConfig, teacher: SoundingVideoPipeline) -> DistillationObjective:
    """Build the objective. The student's times are those that the teacher's pipeline would sample at in as many steps.

    Raises:
        ValueError: neither guidance nor steps to distil.
    """
    config = recipe.student
    scale = teacher.guidance_scales(config.guidance, config.audio_guidance)
    if not config.substeps and scale == NO_GUIDANCE:
        raise ValueError(
            f"teacher={recipe.teacher}: its guidance scales are 1, so there is no guidance to distil; name "
            "student.guidance=SCALE, or student.substeps=2 to distil its steps"
        )
    steps = config.sampling_steps or teacher.options["num_inference_steps"]

    def student(network: Any, condition: Condition, conditioning: AV, noise: AV) -> Denoiser:
        builder = replace(teacher.denoiser_builder, network=network, dtype=None)
        return _denoiser(builder, condition, None, conditioning, noise, NO_GUIDANCE)

    return DistillationObjective(
        teacher=_teacher_factory(teacher, scale),
        student=student,
        schedule=teacher.schedule,
        predict=teacher.config.predict,
        times=teacher.sampling_times(steps, teacher.options["gamma"]),
        substeps=config.substeps,
        solver=SOLVERS[teacher.config.step],
        tasks={
            Task.JOINT: config.joint,
            Task.VIDEO_TO_AUDIO: config.video_to_audio,
            Task.AUDIO_TO_VIDEO: config.audio_to_video,
        },
        text_dropout=config.text_dropout,
    )


def _teacher_factory(teacher: SoundingVideoPipeline, scale: AV) -> TeacherFactory:
    builder = replace(teacher.denoiser_builder, dtype=None)

    def build(condition: Condition, conditioning: AV, noise: AV) -> Denoiser:
        null = _null_condition(teacher, condition)
        return _denoiser(builder, condition, null, conditioning, noise, scale, teacher.options["guidance_against"])

    return build


def _denoiser(
    builder: DenoiserBuilder,
    condition: Condition,
    null_condition: Condition | None,
    conditioning: AV,
    noise: AV,
    scale: AV,
    against: str = "modality",
) -> Denoiser:
    """The denoiser of a network as its pipeline builds it."""
    guided = builder.guided(condition, null_condition, conditioning, scale, against)
    return builder.with_conditioning(guided, conditioning, noise)


def _null_condition(teacher: SoundingVideoPipeline, condition: Condition) -> Condition | None:
    """The null condition of the teacher's guidance: without text, or with the model's own negative prompt."""
    if not teacher.accepts_text:
        return None
    negative = teacher.options["negative_prompt"]
    if not negative:
        return condition.without_text()
    one, b = teacher.prompt_condition(negative, Task.JOINT), len(condition.text_mask)
    repeat: Callable[[torch.Tensor], torch.Tensor] = partial(torch.repeat_interleave, repeats=b, dim=0)
    pooled = None if one.pooled is None else repeat(one.pooled)
    # Samples without a prompt are not guided.
    has_text = condition.text_mask.any(1)
    return replace(condition, text=repeat(one.text), text_mask=repeat(one.text_mask) & has_text[:, None], pooled=pooled)


def build_pipeline(recipe: DistillationConfig, network: nn.Module, teacher: SoundingVideoPipeline) -> SoundingVideoPipeline:
    """Build the student's pipeline: the teacher's with another network, solver and defaults."""
    config = recipe.student
    options = {**teacher.options, "guidance_scale": 1.0, "audio_guidance_scale": 1.0}
    if config.sampling_steps:
        options["num_inference_steps"] = config.sampling_steps
    settings = {name: teacher.config[name] for name in ("predict", "system", "conditioning", "labels")}
    return SoundingVideoPipeline(
        network,
        teacher.video_codec,
        teacher.audio_codec,
        teacher.text_encoder,
        teacher.geometry,
        teacher.schedule,
        step="ddim" if config.substeps else teacher.config.step,
        options=options,
        joint_codec=teacher.joint_codec,
        **settings,
    )

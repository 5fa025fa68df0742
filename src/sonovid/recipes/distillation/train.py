"""Distil a trained model: load the teacher, cache the latents of the clips, train a copy of its network, save a pipeline."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from sonovid.core.av import AV, Task
from sonovid.core.condition import Condition
from sonovid.diffusion.distillation import DistillationObjective, TeacherFactory
from sonovid.diffusion.sampler import Denoiser
from sonovid.pipelines.components import SOLVERS
from sonovid.pipelines.denoising import EVERYWHERE, DenoiserBuilder
from sonovid.pipelines.pipeline import SoundingVideoPipeline
from sonovid.recipes import components
from sonovid.recipes.configs import ClipRunConfig
from sonovid.recipes.distillation.config import DistillationConfig
from sonovid.recipes.latent_data import prepare_latents
from sonovid.recipes.latent_training import train_on_latents

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
    teacher.denoiser.to(components.training_device()).requires_grad_(False)
    if recipe.training.compile:
        teacher.denoiser.compile()

    def pipeline(network: nn.Module) -> SoundingVideoPipeline:
        return build_pipeline(recipe, network, teacher)

    return train_on_latents(recipe, recorded, student, objective, data, pipeline, {})


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

    by_text = teacher.accepts_text and teacher.config.conditioning != "shown"
    if config.target == "data" and (config.substeps or not by_text):
        raise ValueError(
            f"student.target='data' with teacher={recipe.teacher}: it distils guidance by text alone, so it needs "
            "student.substeps=0 and a teacher with text that is not guided against a conditioning stream"
        )
    if config.substeps and teacher.config.step == "ddpm":
        raise ValueError(f"teacher={recipe.teacher}: it is sampled by random steps (ddpm), which no student can learn")
    interval = teacher.guidance_interval(config.guidance_interval)
    build = _teacher_factories(teacher, scale, interval)
    return DistillationObjective(
        teacher=build[0],
        guidance_update=build[1] if config.target == "data" else None,
        guidance_interval=interval,
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


def _teacher_factories(
    teacher: SoundingVideoPipeline, scale: AV, interval: tuple[float, float]
) -> tuple[TeacherFactory, TeacherFactory]:
    """What builds the teacher's guided denoiser, and what builds its guidance alone."""
    builder = replace(teacher.denoiser_builder, dtype=None, guidance_interval=interval)
    prompt = teacher.options["negative_prompt"] if teacher.accepts_text else None
    # Embedded once for all batches.
    negative = teacher.prompt_condition(prompt, Task.JOINT) if prompt else None

    def guided(condition: Condition, conditioning: AV, noise: AV) -> Denoiser:
        null = _null_condition(condition, negative) if teacher.accepts_text else None
        return _denoiser(builder, condition, null, conditioning, noise, scale, teacher.options["guidance_against"])

    def update(condition: Condition, conditioning: AV, noise: AV) -> Denoiser:
        found = builder.guidance_update(condition, _null_condition(condition, negative), conditioning, scale)
        return builder.with_conditioning(found, conditioning, noise)

    return guided, update


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


def _null_condition(condition: Condition, negative: Condition | None) -> Condition:
    """The null condition of the teacher's guidance: without text, or with the model's own negative prompt."""
    if negative is None:
        return condition.without_text()
    b, device = len(condition.text_mask), condition.text_mask.device
    # Samples without a prompt are not guided.
    has_text = condition.text_mask.any(1, keepdim=True)
    return replace(
        condition,
        text=negative.text.to(device).expand(b, -1, -1),
        text_mask=negative.text_mask.to(device) & has_text,
        pooled=None if negative.pooled is None else negative.pooled.to(device).expand(b, -1),
    )


def build_pipeline(recipe: DistillationConfig, network: nn.Module, teacher: SoundingVideoPipeline) -> SoundingVideoPipeline:
    """Build the student's pipeline: the teacher's with another network, solver and defaults."""
    config = recipe.student
    options = {**teacher.options, "guidance_scale": 1.0, "audio_guidance_scale": 1.0, "guidance_interval": EVERYWHERE}
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

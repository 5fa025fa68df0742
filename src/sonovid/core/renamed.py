"""Former names of modules and attributes: they work with a DeprecationWarning, and older model folders load."""

import importlib
import sys
import warnings
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_PACKAGES = {
    "core": "atomic av clip condition geometry model processes progress ray_session text_files",
    "pipelines": "arguments batching continuation decoding denoising foreign generation light lora output pipeline request "
    "windows",
}
# Old name to new name, both without the leading "sonovid.".
MODULES = {name: f"{package}.{name}" for package, names in _PACKAGES.items() for name in names.split()} | {
    "app.making": "app.generation",
    "app.page.look": "app.page.style",
    "app.page.score": "app.page.measure",
    "app.page.show": "app.page.rendering",
    "app.page.table": "app.page.results",
    "benchmark.counts": "benchmark.event_f1",
    "captioning": "curation.captioning",
    "classes": "core.labels",
    "codecs.apart": "codecs.separate",
    "commands": "cli",
    "commands.data_facts": "cli.dataset_info",
    "commands.exporting": "cli.clip_files",
    "commands.filtering": "cli.filter",
    "commands.foreign_models": "cli.diffusers_models",
    "commands.given_media": "cli.media_options",
    "commands.import_released": "cli.import_checkpoint",
    "commands.inform": "cli.info",
    "commands.longer": "cli.continuation",
    "commands.many": "cli.batch",
    "continuation.going_on": "pipelines.continuation.extension",
    "continuation.joins": "pipelines.continuation.crossfade",
    "continuation.ways": "pipelines.continuation.conditioning",
    "data.cluster": "data.ray_encoding",
    "data.listing": "data.manifest_writer",
    "data.scenes.draws": "data.scenes.random_stream",
    "data.sources": "data.datasets",
    "denoisers": "models",
    "denoisers.blocks": "models.uniform.blocks",
    "denoisers.cmmd": "models.cmmd.unet",
    "denoisers.fusion": "models.cmmd.easy_fusion",
    "denoisers.layouts": "models.uniform.layouts",
    "denoisers.pixart": "models.uniform.pixart",
    "denoisers.residual": "models.cmmd.residual",
    "denoisers.svg.joins": "models.svg.fusion",
    "denoisers.svg.joint": "models.svg.model",
    "denoisers.uniform": "models.uniform.transformer",
    "denoisers.uniform_sequence": "models.uniform.sequence",
    "diffusion.adjustment": "diffusion.timestep_adjustment",
    "extent": "pipelines.timeline",
    "folders": "pipelines.loading",
    "foreign.loading": "pipelines.foreign.diffusers_loading",
    "given": "pipelines.inputs",
    "media.animated": "media.webp",
    "media.companions": "media.extra_tracks",
    "media.decoded": "media.decoded_audio",
    "media.encoded_anew": "media.transcode",
    "media.kinds": "media.file_types",
    "media.pictures": "media.frames",
    "media.sound": "media.audio",
    "metrics.cluster": "metrics.ray_extraction",
    "metrics.computing": "metrics.computation",
    "metrics.extractors.pictures": "metrics.extractors.frames",
    "metrics.flow_pictures": "metrics.flow_images",
    "preview": "media.preview",
    "provenance.verifying": "provenance.verification",
    "recipes.base": "recipes.config_values",
    "recipes.caching": "recipes.latent_cache",
    "recipes.cmmd_training": "recipes.cmmd.train",
    "recipes.codec_loss": "recipes.codec_quality",
    "recipes.codec_training": "recipes.codec.train",
    "recipes.fine_tuning_training": "recipes.fine_tuning.train",
    "recipes.melgan_training": "recipes.melgan.train",
    "recipes.mmldm_continuation": "recipes.mmldm.continuation",
    "recipes.mmldm_continuation_training": "recipes.mmldm.continuation.train",
    "recipes.mmldm_training": "recipes.mmldm.generator.train",
    "recipes.needs": "recipes.requirements",
    "recipes.parts": "recipes.components",
    "recipes.svg_training": "recipes.svg.train",
    "recipes.uniform_training": "recipes.uniform.train",
    "shipped": "pipelines.packaged",
    "training.activations": "training.gradient_checkpointing",
    "training.adversarial_vocoding": "training.melgan",
    "training.average": "training.ema",
    "training.fine_tuning": "training.decoder_fine_tuning",
    "training.frozen": "training.frozen_weights",
    "training.initial": "training.initialization",
    "training.ranks": "training.distributed",
    "training.settings": "training.config",
}


def current(module: str) -> str:
    """The present name of a module: `sonovid.denoisers.uniform` is `sonovid.models.uniform.transformer`.

    Args:
        module: a dotted name. A name that was never changed is returned unchanged.
    """
    package, _, name = module.partition(".")
    if package != "sonovid":
        return module
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        new = MODULES.get(".".join(parts[:count]))
        if new:
            return ".".join([package, new, *parts[count:]])
    return module


def warn_renamed(old: str, new: str, stacklevel: int = 3) -> None:
    """Warn that `old` is now `new`.

    Args:
        old: the former name.
        new: the present name.
        stacklevel: of `warnings.warn`; 3 is the caller of the function that calls this one.
    """
    warnings.warn(f"{old} is now {new}; the old name will be removed", DeprecationWarning, stacklevel=stacklevel)


def attributes(module: str, names: dict[str, str]) -> Callable[[str], Any]:
    """A module-level `__getattr__` under which the old names of a module's attributes work with a DeprecationWarning.

    Args:
        module: the module's `__name__`.
        names: old name to new name.
    """

    def __getattr__(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warn_renamed(f"{module}.{name}", names[name])
        return getattr(sys.modules[module], names[name])

    return __getattr__


class _Forwarding:
    """Loads a module that forwards every attribute access to the module of the new name.

    Not derived from importlib.abc.Loader, whose import takes a tenth of the time of `sonovid --help`.
    """

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        new = current(spec.name)
        warn_renamed(spec.name, new)
        target = importlib.import_module(new)
        module = ModuleType(spec.name, target.__doc__)

        def __getattr__(name: str) -> Any:
            return getattr(target, name)

        # An empty path: submodules are found by this finder too, and not loaded a second time from their files.
        vars(module).update(__getattr__=__getattr__, __path__=[])
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to execute: attributes are forwarded."""


class RenamedModules:
    """Finds modules of this package by their former names, after all other finders."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if not fullname.startswith("sonovid.") or current(fullname) == fullname:
            return None
        return ModuleSpec(fullname, _Forwarding(), is_package=True)  # type: ignore[arg-type]


def install() -> None:
    """Make the former names importable, once per process."""
    if not any(isinstance(finder, RenamedModules) for finder in sys.meta_path):
        sys.meta_path.append(RenamedModules())

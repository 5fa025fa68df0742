"""Recipes: named configs of whole trainings.

    recipes.names()                                                  all names, each with a one-line description
    recipes.get("uniform.scenes", {"training.steps": "100"})         a recipe's config, with some values replaced
    recipes.run("uniform.scenes", {"data": "clips", "out": "run"})   the training

Each training has a package with two modules: `config.py` defines the config dataclass and the functions that return its recipes,
and `train.py` runs it. Modules beside the packages hold what trainings share.
"""

import contextlib
import difflib
import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sonovid.recipes import cmmd, codec, config_values, distillation, fine_tuning, melgan, mmdiffusion, requirements, svg, uniform
from sonovid.recipes.mmldm import autoencoder, continuation, generator

RECIPES: dict[str, Callable[[], Any]] = {
    "uniform.scenes": uniform.scenes,
    "uniform.packaged": uniform.packaged,
    "uniform.paper": uniform.paper,
    "uniform.tiny": uniform.tiny,
    "uniform.tiny.columns": uniform.tiny_columns,
    "cmmd.scenes": cmmd.scenes,
    "cmmd.scenes.contrastive": cmmd.scenes_contrastive,
    "cmmd.paper": cmmd.paper,
    "cmmd.paper.contrastive": cmmd.paper_contrastive,
    "cmmd.tiny": cmmd.tiny,
    "mmdiffusion.scenes": mmdiffusion.scenes,
    "mmdiffusion.paper": mmdiffusion.paper,
    "mmdiffusion.tiny": mmdiffusion.tiny,
    "mmldm.landscape": generator.landscape,
    "mmldm.landscape.autoencoder": autoencoder.landscape,
    "mmldm.aist": generator.aist,
    "mmldm.aist.autoencoder": autoencoder.aist,
    "mmldm.audioset": generator.audioset,
    "mmldm.audioset.autoencoder": autoencoder.audioset,
    "mmldm.scenes": generator.scenes,
    "mmldm.scenes.autoencoder": autoencoder.scenes,
    "mmldm.paper.continuation": continuation.paper,
    "mmldm.scenes.continuation": continuation.scenes,
    "mmldm.tiny": generator.tiny,
    "mmldm.tiny.autoencoder": autoencoder.tiny,
    "mmldm.tiny.continuation": continuation.tiny,
    "svg.scenes": svg.scenes,
    "svg.scenes.bases": svg.scenes_bases,
    "svg.paper": svg.paper,
    "svg.paper.landscape": svg.landscape,
    "svg.paper.vggsound": svg.vggsound,
    "svg.tiny": svg.tiny,
    "distillation.guidance": distillation.guidance,
    "distillation.steps": distillation.steps,
    "distillation.tiny": distillation.tiny,
    "codec.frames": codec.frames,
    "codec.video": codec.video,
    "codec.mel": codec.mel,
    "codec.video.decoder": codec.video_decoder,
    "codec.mel.fine": codec.mel_fine,
    "codec.vocoder": codec.vocoder,
    "codec.frames.fine_tuned": fine_tuning.paper,
    "codec.frames.fine_tuned.scenes": fine_tuning.scenes,
    "codec.frames.fine_tuned.tiny": fine_tuning.tiny,
    "codec.frames.tiny": codec.frames_tiny,
    "codec.video.tiny": codec.video_tiny,
    "codec.mel.tiny": codec.mel_tiny,
    "codec.vocoder.tiny": codec.vocoder_tiny,
    "vocoder.melgan": melgan.paper,
    "vocoder.melgan.scenes": melgan.scenes,
    "vocoder.melgan.tiny": melgan.tiny,
}
Overrides = Mapping[str, str] | Sequence[str] | None
# Abbreviated keys.
SHORT_KEYS = {"data": "data.path"}


def names() -> dict[str, str]:
    """List the names of all recipes, each with its one-line description."""
    return {name: (recipe.__doc__ or "").strip().splitlines()[0] for name, recipe in RECIPES.items()}


def get(name: str, overrides: Overrides = None) -> Any:
    """Get a recipe's config.

    Args:
        name: the name of the recipe, see `names`.
        overrides: values to replace: a mapping from key to value, or a list of "key=value".

    Returns:
        The config, a frozen dataclass.

    Raises:
        ValueError: no such recipe or key (the message names the nearest one), or a value of the wrong type.
    """
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, 1, 0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(RECIPES)}"
        raise ValueError(f"no recipe {name!r}; {hint}")
    pairs = overrides if isinstance(overrides, Mapping) else config_values.parse_pairs(overrides or ())
    return config_values.override(RECIPES[name](), {SHORT_KEYS.get(key, key): value for key, value in pairs.items()})


def cache(name: str, overrides: Overrides = None, *, ray: bool = False, prune: bool = False) -> tuple[Any, list[Path]]:
    """Encode the clips that a recipe trains on, without training.

    Args:
        name: the name of the recipe.
        overrides: values to replace, as in `get`.
        ray: encode with Ray Data.
        prune: remove cached clips that are not in the recipe's data.

    Returns:
        The counts of cached, encoded and removed clips (`recipes.latent_cache.CachingRun`), and the folders of the caches.

    Raises:
        ValueError: something is wrong with the recipe, the data, or the folder.
    """
    from sonovid.recipes import latent_cache

    with latent_cache.caching_only(ray=ray, prune=prune) as done, contextlib.suppress(latent_cache.CachingFinished):
        run(name, overrides)
    config = get(name, overrides)
    return done, [latent_cache.cache_root(config.data, config.out)]


def run(name: str, overrides: Overrides = None) -> Path:
    """Run a recipe: encode its clips where they are not cached yet, train, and save the model.

    Args:
        name: the name of the recipe.
        overrides: values to replace, as in `get`.

    Returns:
        The folder of the model, `out/model`.

    Raises:
        ValueError: something is wrong with the recipe, the data, or the folder, or another process trains in this folder.
        Preempted: SIGTERM stopped the training; resume=latest continues it.
    """
    config = get(name, overrides)
    if not config.out:
        raise ValueError(f"{name}: out=FOLDER is needed: the folder of the run")
    if not config.data.path:
        raise ValueError(f"{name}: data=FOLDER_OR_MANIFEST is needed: the clips to train on")
    requirements.check_requirements(name, config)
    from sonovid.training.lock import lock_folder

    # The `train` module beside the config's module. It imports torch, which listing recipes does not need.
    package = type(config).__module__.rpartition(".")[0]
    train: Callable[..., Path] = importlib.import_module(f"{package}.train").run
    # The lock covers the encoding too: two runs in one folder must not both spend hours on it.
    with lock_folder(config.out):
        return train(config, {"name": name, **config_values.to_plain(config)})

"""Whole configurations by name: the only place where the parts meet.

recipes.names()                                            all names, with what each trains
recipes.get("uniform.scenes", {"training.steps": "100"})   a recipe with some values replaced
recipes.run("uniform.scenes", {"data": "clips", "out": "run"})   the whole training
"""

import contextlib
import difflib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sonovid.recipes import cmmd, codec, fine_tuning, melgan, svg, uniform
from sonovid.recipes import overrides as base
from sonovid.recipes import requirements as needs
from sonovid.recipes.mmldm import continuation as mmldm_continuation
from sonovid.recipes.mmldm import generator as mmldm

RECIPES: dict[str, Callable[[], Any]] = {
    "uniform.scenes": uniform.scenes,
    "uniform.paper": uniform.paper,
    "uniform.tiny": uniform.tiny,
    "uniform.tiny.columns": uniform.tiny_columns,
    "cmmd.scenes": cmmd.scenes,
    "cmmd.scenes.contrastive": cmmd.scenes_contrastive,
    "cmmd.paper": cmmd.paper,
    "cmmd.paper.contrastive": cmmd.paper_contrastive,
    "cmmd.tiny": cmmd.tiny,
    "mmldm.landscape": mmldm.landscape,
    "mmldm.landscape.autoencoder": mmldm.landscape_autoencoder,
    "mmldm.aist": mmldm.aist,
    "mmldm.aist.autoencoder": mmldm.aist_autoencoder,
    "mmldm.audioset": mmldm.audioset,
    "mmldm.audioset.autoencoder": mmldm.audioset_autoencoder,
    "mmldm.scenes": mmldm.scenes,
    "mmldm.scenes.autoencoder": mmldm.scenes_autoencoder,
    "mmldm.paper.continuation": mmldm_continuation.paper,
    "mmldm.scenes.continuation": mmldm_continuation.scenes,
    "mmldm.tiny": mmldm.tiny,
    "mmldm.tiny.autoencoder": mmldm.tiny_autoencoder,
    "mmldm.tiny.continuation": mmldm_continuation.tiny,
    "svg.scenes": svg.scenes,
    "svg.scenes.bases": svg.scenes_bases,
    "svg.paper": svg.paper,
    "svg.paper.landscape": svg.landscape,
    "svg.paper.vggsound": svg.vggsound,
    "svg.tiny": svg.tiny,
    "codec.frames": codec.frames,
    "codec.video": codec.video,
    "codec.mel": codec.mel,
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
# "data=FOLDER" is what everyone writes first.
SHORT = {"data": "data.path"}


def names() -> dict[str, str]:
    """The names of all recipes, with one line on each."""
    return {name: (recipe.__doc__ or "").strip().splitlines()[0] for name, recipe in RECIPES.items()}


def get(name: str, overrides: Overrides = None) -> Any:
    """The recipe of this name, with some of its values replaced: a mapping from key to value, or words "key=value".

    Raises:
        ValueError: no such recipe or key, with the nearest one, or a value of another kind.
    """
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, 1, 0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(RECIPES)}"
        raise ValueError(f"no recipe {name!r}; {hint}")
    given = overrides if isinstance(overrides, Mapping) else base.parse_pairs(overrides or ())
    pairs = {SHORT.get(key, key): value for key, value in given.items()}
    return base.override(RECIPES[name](), pairs)


def cache(name: str, overrides: Overrides = None, *, ray: bool = False, prune: bool = False) -> tuple[Any, list[Path]]:
    """Encode what a recipe trains on, and stop there: what was done (`recipes.caching.Caching`), and the caches' folders.

    ray: by Ray Data. prune: remove clips that are not in the recipe's data.

    Raises:
        ValueError: what is wrong with the recipe, the data, or the folder.
    """
    from sonovid.recipes import latent_cache as caching

    with caching.caching_only(ray=ray, prune=prune) as done, contextlib.suppress(caching.Cached):
        run(name, overrides)
    recipe = get(name, overrides)
    return done, [caching.root_of(recipe.data, recipe.out)]


def run(name: str, overrides: Overrides = None) -> Path:
    """Train a recipe: cache what is trained on, train, and leave what can be loaded in `out/model`, which is returned.

    Raises:
        ValueError: what is wrong with the recipe, the data, or the folder, or another process trains there.
        Preempted: SIGTERM asked the training to stop; it is resumed by resume=latest.
    """
    recipe = get(name, overrides)
    if not recipe.out:
        raise ValueError(f"{name}: out=FOLDER is needed: where the run is kept")
    if not recipe.data.path:
        raise ValueError(f"{name}: data=FOLDER_OR_MANIFEST is needed: what to train on")
    needs.check(name, recipe)
    from sonovid.recipes.cmmd import train as cmmd_training
    from sonovid.recipes.codec import train as codec_training
    from sonovid.recipes.fine_tuning import train as fine_tuning_training
    from sonovid.recipes.melgan import train as melgan_training
    from sonovid.recipes.mmldm.continuation import train as mmldm_continuation_training
    from sonovid.recipes.mmldm.generator import train as mmldm_training
    from sonovid.recipes.svg import train as svg_training
    from sonovid.recipes.uniform import train as uniform_training
    from sonovid.training.lock import lock_folder

    trainings: dict[type, Callable[..., Path]] = {
        uniform.UniFormRecipe: uniform_training.run,
        cmmd.CMMDRecipe: cmmd_training.run,
        mmldm.MMLDMRecipe: mmldm_training.run,
        mmldm_continuation.ContinuationRecipe: mmldm_continuation_training.run,
        mmldm.AutoencoderRecipe: mmldm_training.run_autoencoder,
        svg.SVGRecipe: svg_training.run,
        melgan.MelGANRecipe: melgan_training.run,
        fine_tuning.TuningRecipe: fine_tuning_training.run,
    }
    train: Callable[..., Path] = trainings.get(type(recipe), codec_training.run)
    # From before the latents are cached, so that two runs in one folder do not both spend hours on that.
    with lock_folder(recipe.out):
        return train(recipe, {"name": name, **base.plain(recipe)})

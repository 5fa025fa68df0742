"""PretrainedMixin: load and save pipelines as folders in the layout of diffusers."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sonovid.core import atomic
from sonovid.pipelines import foreign, loading
from sonovid.pipelines.components import COMPONENTS, OPTIONAL_COMPONENTS, SETTINGS

if TYPE_CHECKING:
    from sonovid.pipelines.pipeline import SoundingVideoPipeline


class PretrainedMixin:
    """`from_pretrained`, `from_pipe` and `save_pretrained` of `SoundingVideoPipeline`."""

    @classmethod
    def from_pretrained(
        cls,
        model: "str | os.PathLike | None" = None,
        *,
        dtype: torch.dtype | None = None,
        torch_dtype: torch.dtype | None = None,
        device_map: str | None = None,
        variant: str | None = None,
        use_safetensors: bool = True,
        trust_remote_code: bool = False,
        **options: Any,
    ) -> "SoundingVideoPipeline":
        """Load a packaged model (default: "packaged"), a folder, or a repository of the Hub.

        A model of LTX-2, Kandinsky 6, Cosmos 3 or MiniMax-H3, as diffusers has it, becomes a `foreign.ForeignPipeline`, which is
        called in the same way.

        Args:
            model: None (the default), "packaged" or "uniform", a folder, or OWNER/NAME.
            dtype: dtype of the denoiser and the text encoder.
            torch_dtype: former name of `dtype`.
            device_map: a device for the whole pipeline, such as "cuda"; maps of components to devices are not supported.
            variant: variant of the weight files, such as "fp16".
            use_safetensors: must be True.
            trust_remote_code: must be False.
            options: components as objects, by name; and for a repository of the Hub `revision`, `cache_dir`, `local_files_only`,
                `force_download` and `token`.

        Deviation: diffusers loads a component whose tensors are missing or are pickles; here either is an error.

        Raises:
            ValueError: no such model, a pickle or code in it, a tensor missing or of the wrong shape, a class that is not
                allowed, or use_safetensors=False, or trust_remote_code=True.
            TypeError: an unknown component.
        """
        if not use_safetensors or trust_remote_code:
            raise ValueError("from_pretrained: only safetensors are read, and code of a model folder is never run")
        hub = {name: options.pop(name) for name in loading.HUB_OPTIONS if name in options}
        model = loading.locate(model, **hub)
        index = loading.read_index(model)
        if foreign.is_foreign_model(index):
            if options:
                raise TypeError(f"from_pretrained: {sorted(options)}: components of a diffusers model cannot be replaced")
            return foreign.ForeignPipeline.from_folder(model, index, dtype=dtype or torch_dtype)  # type: ignore[return-value]
        folder, components, settings = loading.load_components(
            model, COMPONENTS, OPTIONAL_COMPONENTS, SETTINGS, variant=variant, **options
        )
        try:
            pipe: Any = cls(**components, **settings)
        except (TypeError, KeyError) as error:
            raise ValueError(f"model {folder}: {loading.INDEX} does not fit this version: {error}") from error
        pipe.register_to_config(_name_or_path=str(folder))
        return pipe.to(device_map, dtype or torch_dtype)

    @classmethod
    def from_pipe(cls, pipeline: Any, **changed: Any) -> "SoundingVideoPipeline":
        """Another pipeline that shares the components of `pipeline`.

        Args:
            pipeline: a `SoundingVideoPipeline`.
            changed: components or settings to replace, by name; `torch_dtype`.

        Raises:
            ValueError: an unknown component or setting.
        """
        known = {**{name: getattr(pipeline, name) for name in COMPONENTS}, **{name: pipeline.config[name] for name in SETTINGS}}
        dtype = changed.pop("torch_dtype", None)
        if unknown := sorted(set(changed) - set(known)):
            raise ValueError(f"from_pipe: {unknown}: expected components {COMPONENTS} or settings {SETTINGS}")
        pipe: Any = cls(**{**known, **changed})
        return pipe.to(dtype=dtype)

    def save_pretrained(
        self,
        save_directory: "str | os.PathLike",
        safe_serialization: bool = True,
        variant: str | None = None,
        max_shard_size: int | str | None = None,
        push_to_hub: bool = False,
        **unknown: Any,
    ) -> None:
        """Save the pipeline as a folder: model_index.json, and a folder for each component with its weights as safetensors.

        The folder is written atomically and replaces an existing one.

        Args:
            save_directory: the folder.
            safe_serialization: must be True.
            variant: variant of the weight files, such as "fp16".
            max_shard_size: largest weight file, such as "10GB".
            push_to_hub: must be False; call `pipe.push_to_hub(repo_id)` instead.

        Raises:
            ValueError: an option that is not supported.
        """
        if not safe_serialization:
            raise ValueError("safe_serialization=False: only safetensors are written, since a pickle can run code")
        if push_to_hub or unknown:
            names = ", ".join(["push_to_hub"] * push_to_hub + sorted(unknown))
            raise ValueError(f"save_pretrained: {names}: only a folder is written; for the Hub call pipe.push_to_hub(repo_id)")
        options = {"variant": variant, "max_shard_size": max_shard_size}
        options = {name: value for name, value in options.items() if value is not None}

        def write(folder: Path) -> None:
            for name in COMPONENTS:
                if getattr(self, name) is not None:
                    getattr(self, name).save_pretrained(folder / name, **options)
            self.save_config(folder)  # type: ignore[attr-defined]
            loading.remove_local_paths(folder)

        atomic.replace_folder(save_directory, write)

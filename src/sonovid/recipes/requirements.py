"""Requirements: the repositories and folders that a recipe loads weights from, their sizes and licences, and what is missing."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from sonovid.pipelines import packaged

# For each key that names a source: the layouts that are accepted, each a tuple of subfolders ("" is the root). The first layout
# whose subfolders are all there is used.
VAE, TEXT_ENCODER, VOCODER = (("vae",), ("",)), (("text_encoder", "tokenizer"), ("",)), (("vocoder",), ("",))
LAYOUTS: dict[str, Sequence[Sequence[str]]] = {
    "codecs.video": VAE,
    "base.frames": VAE,
    "codec": VAE,
    "codecs.audio": (("vae", "vocoder"),),
    "codecs.vocoder": VOCODER,
    "base.vocoder": VOCODER,
    "codecs.words": TEXT_ENCODER,
    "codecs.vector": TEXT_ENCODER,
    "codecs.text": TEXT_ENCODER,
    "codec.text": TEXT_ENCODER,
    "network.video": (("unet",),),
    "network.audio": (("unet",),),
    "network.unet": (("unet",),),
    "network.adapter": (("",),),
    "network.pixart": (("transformer",),),
}
# The file that shows that a subfolder is there, where it is not config.json.
CONFIG_FILES = {"tokenizer": "tokenizer_config.json"}
# Sources that need no download.
BUILT_IN = ("", *packaged.NAMES, *packaged.FORMER_NAMES, "tiny", "hashed", "griffin-lim")
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Repository:
    """A public repository.

    Attributes:
        licence: the licence, as stated on its page.
        gigabytes: size of the float32 weights in each subfolder, in GB.
    """

    licence: str
    gigabytes: dict[str, float]


# The sizes are computed from the numbers of parameters. A repository may have further files, which are not downloaded.
REPOSITORIES = {
    "SG161222/Realistic_Vision_V5.1_noVAE": Repository(
        "CreativeML OpenRAIL-M", {"unet": 3.44, "vae": 0.33, "text_encoder": 0.49, "tokenizer": 0.002}
    ),
    "stable-diffusion-v1-5/stable-diffusion-v1-5": Repository(
        "CreativeML OpenRAIL-M", {"unet": 3.44, "vae": 0.33, "text_encoder": 0.49, "tokenizer": 0.002}
    ),
    "guoyww/animatediff-motion-adapter-v1-5-2": Repository("not stated (AnimateDiff's code: Apache-2.0)", {"": 1.82}),
    "cvssp/audioldm-m-full": Repository(
        "CC BY-NC-SA 4.0", {"unet": 1.66, "vae": 0.22, "vocoder": 0.22, "text_encoder": 0.5, "tokenizer": 0.002}
    ),
    "openai/clip-vit-large-patch14": Repository("MIT (its code)", {"": 1.71}),
    "laion/clap-htsat-unfused": Repository("Apache-2.0", {"": 0.62}),
    "hpcai-tech/OpenSora-VAE-v1.2": Repository("Apache-2.0", {"": 1.57}),
    "PixArt-alpha/PixArt-XL-2-512x512": Repository(
        "CreativeML OpenRAIL++-M; its T5: Apache-2.0", {"transformer": 2.44, "text_encoder": 19.05, "tokenizer": 0.001}
    ),
    "stabilityai/sd-vae-ft-mse": Repository("MIT", {"": 0.33}),
}


@dataclass(frozen=True)
class Requirement:
    """One source of weights that a recipe names.

    Attributes:
        key: the recipe's key.
        source: a folder, or OWNER/NAME of a repository.
        subfolders: the subfolders that are loaded.
        is_local: whether the files are on this machine, in the folder or in the Hub's cache.
        problem: why the files cannot be loaded; empty if they are local or can be downloaded.
    """

    key: str
    source: str
    subfolders: tuple[str, ...]
    is_local: bool
    problem: str = ""

    @property
    def is_repository(self) -> bool:
        return not Path(self.source).expanduser().is_dir() and REPOSITORY.fullmatch(self.source) is not None

    @property
    def gigabytes(self) -> float | None:
        """Size of the weights that are loaded, in GB; None where it is unknown."""
        known = REPOSITORIES.get(self.source)
        sizes = [None if known is None else known.gigabytes.get(subfolder) for subfolder in self.subfolders]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    @property
    def licence(self) -> str:
        return REPOSITORIES[self.source].licence if self.source in REPOSITORIES else "see its page" if self.is_repository else "-"

    @property
    def description(self) -> str:
        """The files that are loaded, with their size and licence."""
        files = ", ".join(f"{subfolder}/" if subfolder else "config.json and weights" for subfolder in self.subfolders)
        size = "size not known here" if self.gigabytes is None else f"{self.gigabytes:.2f} GB"
        return f"{files}; {size}; licence: {self.licence}" if self.is_repository else files


class HubClient:
    """Asks the Hub whether files exist, without retries. Once a request fails, no further request is sent.

    Attributes:
        connection_problem: why the Hub could not be reached; empty if it could.
    """

    def __init__(self) -> None:
        self.connection_problem = ""

    def find_problem(self, source: str, path: str) -> str:
        """Find out why a file of a repository cannot be downloaded; empty if it can."""
        from huggingface_hub import get_hf_file_metadata, hf_hub_url
        from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, RepositoryNotFoundError

        if self.connection_problem:
            return self.connection_problem
        try:
            get_hf_file_metadata(hf_hub_url(source, path), timeout=10)
        except GatedRepoError:
            return "the repository is gated: accept its terms on its page, and log in with hf auth login"
        except RepositoryNotFoundError:
            return "the Hub has no such repository, or it is private; nor is there a folder of this name"
        except EntryNotFoundError:
            return f"the repository has no {path}"
        except Exception as error:
            # Which exception is raised depends on the version of the client; its message is the cause in any case.
            reason = " ".join(str(error).split())[:160] or type(error).__name__
            self.connection_problem = f"the Hub was not reached ({reason})"
        return self.connection_problem


def find_requirements(recipe: Any) -> list[Requirement]:
    """List what a recipe needs. Each source is looked for in folders, in the Hub's cache, and then on the Hub."""
    hub = HubClient()
    return [find_requirement(key, source, hub) for key, source in list_sources(recipe)]


def check_requirements(name: str, recipe: Any) -> None:
    """Check before any work is done that everything that a recipe needs can be loaded.

    Raises:
        ValueError: something cannot be loaded. The message lists all of it, with the causes.
    """
    missing = [requirement for requirement in find_requirements(recipe) if requirement.problem]
    if not missing:
        return
    listed = "; ".join(f"{one.key}={one.source} ({one.description}): {one.problem}" for one in missing)
    if len(causes := {one.problem for one in missing}) == 1:
        listed = "; ".join(f"{one.key}={one.source} ({one.description})" for one in missing) + f": {causes.pop()}"
    any_repository = any(one.is_repository for one in missing)
    fetch = "download them where there is a network (hf download OWNER/NAME), or " if any_repository else ""
    raise ValueError(
        f"{name}: {len(missing)} of its parts are neither in a folder nor in the Hub's cache, and cannot be loaded: {listed}; "
        f"{fetch}name folders by these keys, such as {missing[0].key}=FOLDER (sonovid recipes {name} --needs lists all)"
    )


def list_sources(config: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Iterate over the keys of a config that name a source outside the package, with their values."""
    for item in fields(config):
        value, key = getattr(config, item.name), prefix + item.name
        if is_dataclass(value):
            yield from list_sources(value, f"{key}.")
        elif key in LAYOUTS and isinstance(value, str) and value not in BUILT_IN:
            yield key, value


def find_requirement(key: str, source: str, hub: HubClient) -> Requirement:
    """Find out where the files of one source are, or why they cannot be loaded."""
    layouts = LAYOUTS[key]
    folder = Path(source).expanduser()
    if folder.is_dir():
        # Faults inside a folder are reported when it is loaded.
        fitting = (tuple(layout) for layout in layouts if all((folder / subfolder).is_dir() for subfolder in layout))
        return Requirement(key, source, next(fitting, ("",)), True)
    repository, _, subfolder = source.partition(":")
    layouts = ((subfolder,),) if subfolder else layouts
    if not REPOSITORY.fullmatch(repository):
        return Requirement(key, source, tuple(layouts[0]), False, "no such folder")
    for layout in layouts:
        if all(is_cached(repository, one) for one in layout):
            return Requirement(key, repository, tuple(layout), True)
    first_problem = ""
    for layout in _known_first(repository, layouts):
        problems = [hub.find_problem(repository, config_path(one)) for one in layout if not is_cached(repository, one)]
        problem = next((one for one in problems if one), "")
        if not problem:
            return Requirement(key, repository, tuple(layout), False)
        # The first problem is reported: those of less likely layouts say less.
        first_problem = first_problem or problem
    return Requirement(key, repository, tuple(_known_first(repository, layouts)[0]), False, first_problem)


def _known_first(repository: str, layouts: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """The layouts; the one that a known repository has comes first."""
    known = REPOSITORIES.get(repository)
    return sorted(layouts, key=lambda layout: known is not None and not set(layout) <= set(known.gigabytes))


def config_path(subfolder: str) -> str:
    """The path of a subfolder's config file."""
    name = CONFIG_FILES.get(subfolder, "config.json")
    return f"{subfolder}/{name}" if subfolder else name


def is_cached(repository: str, subfolder: str) -> bool:
    """Whether the Hub's cache holds a subfolder's config file and, unless it is a tokenizer's, weights beside it."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, config_path(subfolder))
    if not isinstance(found, str):
        return False
    return subfolder in CONFIG_FILES or any(path.exists() for path in Path(found).parent.glob("*.safetensors"))


def locate_source(key: str, source: str) -> tuple[str, str]:
    """Find the folder or repository, and the subfolder in it, that a source's weights are loaded from.

    Args:
        key: the recipe's key.
        source: a folder, OWNER/NAME, or OWNER/NAME:SUBFOLDER.

    Returns:
        The folder or repository, and the first subfolder of its layout, "" for the root.

    Raises:
        ValueError: the files cannot be loaded.
    """
    requirement = find_requirement(key, source, HubClient())
    if requirement.problem:
        raise ValueError(f"{key}={source}: {requirement.problem}; give a folder, or OWNER/NAME of a repository that holds it")
    return requirement.source, requirement.subfolders[0]

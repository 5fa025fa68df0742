"""What a recipe takes from elsewhere: which repositories and folders, how large, with which licence, and what is here."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

# For each key that names a source: the ways in which its files may lie there, each a list of subfolders ("" is the root).
PICTURES, WORDS, VOCODER = (("vae",), ("",)), (("text_encoder", "tokenizer"), ("",)), (("vocoder",), ("",))
TAKES: dict[str, Sequence[Sequence[str]]] = {
    "codecs.video": PICTURES,
    "base.frames": PICTURES,
    "codec": PICTURES,
    "codecs.audio": (("vae", "vocoder"),),
    "codecs.vocoder": VOCODER,
    "base.vocoder": VOCODER,
    "codecs.words": WORDS,
    "codecs.vector": WORDS,
    "codecs.text": WORDS,
    "codec.text": WORDS,
    "network.video": (("unet",),),
    "network.audio": (("unet",),),
    "network.unet": (("unet",),),
    "network.adapter": (("",),),
    "network.pixart": (("transformer",),),
}
# The settings' file by which each subfolder is known to be there.
SETTINGS = {"tokenizer": "tokenizer_config.json"}
# What is inside the package, or asks for nothing.
OWN = ("", "shipped", "tiny", "hashed")
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Repository:
    """A public repository: its licence as its page states it, and gigabytes of the weights in each subfolder, in float32."""

    licence: str
    gigabytes: dict[str, float]


# Sizes follow from the numbers of parameters; a repository may hold further files, which are not fetched.
KNOWN = {
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
class Need:
    """One source of a recipe.

    key: by which the recipe names it. source: a folder or OWNER/NAME. subfolders: what is taken of it. fault: why it is not to
    be had, in words; empty: it is here, or the Hub has it. here: it lies on this machine.
    """

    key: str
    source: str
    subfolders: tuple[str, ...]
    here: bool
    fault: str = ""

    @property
    def is_repository(self) -> bool:
        return not Path(self.source).expanduser().is_dir() and REPOSITORY.fullmatch(self.source) is not None

    @property
    def gigabytes(self) -> float | None:
        """Of the weights that are taken; None where they are not known."""
        known = KNOWN.get(self.source)
        sizes = [None if known is None else known.gigabytes.get(one) for one in self.subfolders]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    @property
    def licence(self) -> str:
        return KNOWN[self.source].licence if self.source in KNOWN else "see its page" if self.is_repository else "-"

    @property
    def what(self) -> str:
        """Which files are taken, with their size and licence."""
        places = ", ".join(f"{one}/" if one else "config.json and weights" for one in self.subfolders)
        size = "size not known here" if self.gigabytes is None else f"{self.gigabytes:.2f} GB"
        return f"{places}; {size}; licence: {self.licence}" if self.is_repository else places


class Hub:
    """What the Hub says of files, asked once each and without retries; once it is not reached, it is not asked again."""

    def __init__(self) -> None:
        self.unreached = ""

    def fault(self, source: str, path: str) -> str:
        """Why a file of a repository cannot be had from the Hub; empty where it can."""
        from huggingface_hub import get_hf_file_metadata, hf_hub_url
        from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, RepositoryNotFoundError

        if self.unreached:
            return self.unreached
        try:
            get_hf_file_metadata(hf_hub_url(source, path), timeout=10)
        except GatedRepoError:
            return "the Hub gives it to those alone who accepted its terms: do so on its page, and log in by hf auth login"
        except RepositoryNotFoundError:
            return "the Hub has no such repository, or it is private; nor is there a folder of this name"
        except EntryNotFoundError:
            return f"the repository has no {path}"
        except Exception as error:
            # What is thrown here depends on the version of the client: whatever it is, its words are the cause.
            self.unreached = f"the Hub was not reached ({' '.join(str(error).split())[:160] or type(error).__name__})"
        return self.unreached


def needs(recipe: Any) -> list[Need]:
    """What a recipe takes from elsewhere, each looked for in folders, in the Hub's cache, and then on the Hub."""
    hub = Hub()
    return [need_of(key, value, hub) for key, value in sources(recipe)]


def check(name: str, recipe: Any) -> None:
    """Find out before any work is done whether all that a recipe needs can be had.

    Raises:
        ValueError: some of it cannot; all of that is listed, with the causes.
    """
    lacking = [need for need in needs(recipe) if need.fault]
    if not lacking:
        return
    listed = "; ".join(f"{need.key}={need.source} ({need.what}): {need.fault}" for need in lacking)
    if len(causes := {need.fault for need in lacking}) == 1:
        listed = "; ".join(f"{need.key}={need.source} ({need.what})" for need in lacking) + f": {causes.pop()}"
    fetch = "fetch them where there is a network (hf download OWNER/NAME), or " if any(n.is_repository for n in lacking) else ""
    raise ValueError(
        f"{name}: {len(lacking)} of its parts are neither in a folder nor in the Hub's cache, and cannot be had: {listed}; "
        f"{fetch}name folders by these keys, such as {lacking[0].key}=FOLDER (sonovid recipes {name} --needs lists all)"
    )


def sources(recipe: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """The keys of a recipe that name a source outside the package, with their values."""
    for item in fields(recipe):
        value, key = getattr(recipe, item.name), prefix + item.name
        if is_dataclass(value):
            yield from sources(value, f"{key}.")
        elif key in TAKES and isinstance(value, str) and value not in OWN:
            yield key, value


def need_of(key: str, source: str, hub: Hub) -> Need:
    """One source: where its files lie, or why they are not to be had."""
    ways = TAKES[key]
    folder = Path(source).expanduser()
    if folder.is_dir():
        # What is wrong inside a folder is said where it is read.
        return Need(key, source, next((tuple(way) for way in ways if all((folder / one).is_dir() for one in way)), ("",)), True)
    repository, _, subfolder = source.partition(":")
    ways = ((subfolder,),) if subfolder else ways
    if not REPOSITORY.fullmatch(repository):
        return Need(key, source, tuple(ways[0]), False, "no such folder")
    fault = ""
    for way in ways:
        if all(in_cache(repository, one) for one in way):
            return Need(key, repository, tuple(way), True)
    for way in likely_first(repository, ways):
        faults = [hub.fault(repository, path_of(one)) for one in way if not in_cache(repository, one)]
        found = next((one for one in faults if one), "")
        if not found:
            return Need(key, repository, tuple(way), False)
        # The first cause stands: that of another way of lying there says less.
        fault = fault or found
    return Need(key, repository, tuple(likely_first(repository, ways)[0]), False, fault)


def likely_first(repository: str, ways: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """The ways, those first in which a known repository's files lie."""
    known = KNOWN.get(repository)
    return sorted(ways, key=lambda way: known is not None and not set(way) <= set(known.gigabytes))


def path_of(subfolder: str) -> str:
    """The settings' file of a subfolder."""
    name = SETTINGS.get(subfolder, "config.json")
    return f"{subfolder}/{name}" if subfolder else name


def in_cache(repository: str, subfolder: str) -> bool:
    """Whether the Hub's cache holds a subfolder's settings and, unless it is a tokenizer's, weights beside them."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, path_of(subfolder))
    if not isinstance(found, str):
        return False
    return subfolder in SETTINGS or any(path.exists() for path in Path(found).parent.glob("*.safetensors"))


def holding(key: str, source: str) -> tuple[str, str]:
    """(folder or repository, subfolder) of a source's own part, the first of its ways: "" where it lies at the root.

    Raises:
        ValueError: it cannot be had; the first cause is given.
    """
    need = need_of(key, source, Hub())
    if need.fault:
        raise ValueError(f"{key}={source}: {need.fault}; give a folder, or OWNER/NAME of a repository that holds it")
    return need.source, need.subfolders[0]

"""Models of transformers from their folders: read whole or refused in one line, and without a word in the user's terminal."""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sonovid.metrics.base import Missing


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No bars and warnings of transformers (which backends it misses, how to train) in the user's terminal; errors still come."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def model_of(folder: Path, kind: str, model_type: str, *, device: str = "cpu", **options: Any) -> Any:
    """A model of transformers from its folder, frozen and in evaluation mode; `kind` its class, `model_type` its config's word.

    Raises:
        Missing: the transformers that is installed has no such class.
        ValueError: no such model there, or weights of another architecture, size or part.
    """
    import transformers

    if not hasattr(transformers, kind):
        raise Missing(f"transformers {transformers.__version__} has no {kind}: pip install --upgrade transformers")
    with quiet():
        try:
            config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise ValueError(f"{folder}: holds no model of transformers that can be read ({first_line(error)})") from None
        if config.model_type != model_type:
            raise ValueError(f"{folder}: holds a {config.model_type!r}; expected a {model_type!r} ({kind})")
        try:
            # Weights of other shapes are reported rather than raised, so that the message is ours and one line.
            model, found = getattr(transformers, kind).from_pretrained(
                folder, local_files_only=True, output_loading_info=True, ignore_mismatched_sizes=True, **options
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise ValueError(f"{folder}: its weights cannot be read ({first_line(error)})") from None
    if found["missing_keys"]:
        raise ValueError(f"{folder}: no weights for {sorted(found['missing_keys'])[0]}; not a whole {kind}")
    if found["mismatched_keys"]:
        raise ValueError(f"{folder}: {sorted(map(str, found['mismatched_keys']))[0]} has another shape than its own config says")
    # Batch norms and dropout would make a clip's features depend on its neighbours.
    return model.to(device).float().requires_grad_(False).eval()


def tokenizer_of(folder: Path) -> Any:
    """The tokenizer in a model's folder.

    Raises:
        ValueError: there is none.
    """
    import transformers

    with quiet():
        try:
            return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(f"{folder}: holds no tokenizer that can be read ({first_line(error)})") from None


def first_line(error: BaseException) -> str:
    """What an error says first, on one line."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]

"""Loading of transformers models from folders, with one-line errors and without output in the terminal."""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sonovid.metrics.base import UnavailableError


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress the progress bars and warnings of transformers (missing backends, training advice); errors still appear."""
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


def load_model(folder: Path, kind: str, model_type: str, *, device: str = "cpu", **options: Any) -> Any:
    """Load a transformers model from a folder, frozen and in evaluation mode.

    Args:
        folder: of the model.
        kind: the class in transformers.
        model_type: the expected `model_type` of its config.
        device: where it runs.
        **options: passed to `from_pretrained`.

    Raises:
        UnavailableError: the installed version of transformers has no such class.
        ValueError: the folder has no such model, or weights of another architecture or size, or incomplete ones.
    """
    import transformers

    if not hasattr(transformers, kind):
        raise UnavailableError(f"transformers {transformers.__version__} has no {kind}: pip install --upgrade transformers")
    with quiet():
        try:
            config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise ValueError(f"{folder}: contains no readable transformers model ({first_line(error)})") from None
        if config.model_type != model_type:
            raise ValueError(f"{folder}: contains a {config.model_type!r}; expected a {model_type!r} ({kind})")
        try:
            # Mismatched shapes are reported, not raised, so that the error is one line.
            model, found = getattr(transformers, kind).from_pretrained(
                folder, local_files_only=True, output_loading_info=True, ignore_mismatched_sizes=True, **options
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise ValueError(f"{folder}: its weights cannot be read ({first_line(error)})") from None
    if found["missing_keys"]:
        raise ValueError(f"{folder}: no weights for {sorted(found['missing_keys'])[0]}; not a complete {kind}")
    if found["mismatched_keys"]:
        raise ValueError(f"{folder}: {sorted(map(str, found['mismatched_keys']))[0]} has another shape than the config says")
    # In training mode, batch norm and dropout would make features depend on the batch.
    return model.to(device).float().requires_grad_(False).eval()


def load_tokenizer(folder: Path) -> Any:
    """Load the tokenizer of a model folder.

    Raises:
        ValueError: there is none.
    """
    import transformers

    with quiet():
        try:
            return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(f"{folder}: contains no readable tokenizer ({first_line(error)})") from None


def first_line(error: BaseException) -> str:
    """The first line of an error message."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]

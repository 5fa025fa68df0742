"""Run the commands and the Python code of a documentation page, at tiny sizes."""

import re
import shlex
import shutil
from pathlib import Path

from sonovid.cli import main
from sonovid.pipelines import packaged

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$|^((?:    \S.*\n)+)', flags=re.DOTALL | re.MULTILINE)
FAST = ["steps=1", "batch_size=2", "validate_size=2"]
NETWORK = ["network.depth=1", "network.width=16", "network.heads=2", "codecs.text_width=32", "validation_clips=0", *FAST]
TINY_CLIPS = ["geometry.num_frames=8", "geometry.height=16", "geometry.width=16", "geometry.sample_rate=8000"]
# `tiny_folder` is a UniForm with blocks of STDiT.
TINY_MODEL = ["geometry.fps=8", "network.layout=tokens", "codecs.text_words=32", "compile=false"]
DISTILLED = ["data=clips", "data.held_out=0", "compile=false", *FAST]
# Values that are added to a printed training whose words contain the first ones. The first match counts.
SIZES = (
    (["uniform.packaged", "init=packaged"], [*TINY_CLIPS, *NETWORK, *TINY_MODEL]),
    (["uniform.scenes", "geometry.height=128"], NETWORK),
    (["uniform.scenes"], [*TINY_CLIPS, *NETWORK]),
    (["distillation.guidance"], DISTILLED),
    (["distillation.steps"], DISTILLED),
    (["codec.frames"], ["network.widths=8,8", "network.blocks=1", *FAST]),
    (["codec.mel"], ["network.width=16", "network.blocks=1", *FAST]),
    (["codec.vocoder"], ["network.width=16", "network.depth=1", *FAST]),
    (["uniform.tiny"], FAST),
)
# The metrics of printed evaluations and comparisons that name none.
METRICS = "av_align_sony,onsets_f1"


def shorten(words: list[str]) -> list[str]:
    """The words of a command with tiny sizes: trainings, numbers of clips, and metrics."""
    if words[0] == "train":
        own, added = {}, next(values for parts, values in SIZES if set(parts) <= set(words))
        # A run that is continued keeps its values, and trains one step more.
        added = [value.replace("steps=1", "steps=2") for value in added] if "resume=latest" in words else added
        for value in [*words[2:], *added]:
            own[value.split("=")[0]] = value
        return [*words[:2], *own.values()]
    words = list(words)
    if "--count" in words and int(words[words.index("--count") + 1]) > 8:
        words[words.index("--count") + 1] = "4"
    if "--seconds" in words and words[words.index("--seconds") + 1] == "20":
        words[words.index("--seconds") + 1] = "3"
    if words[:2] == ["rate", "make"]:
        words += ["--clips", "4"]
    if words[0] == "scenes":
        # The page makes a folder that another page finds.
        shutil.rmtree(words[1], ignore_errors=True)
    if words[0] == "generate" and "-o" in words and Path(words[words.index("-o") + 1]).is_file():
        words.append("--overwrite")
    if words[0] in ("evaluate", "compare") and "--metrics" not in words:
        words += ["--metrics", "psnr" if "--reconstructions" in words else METRICS]
    return [*words, "--resamples", "5"] if words[0] in ("evaluate", "compare") else words


def run_command(line: str) -> None:
    """Run a printed command of `sonovid` in this process."""
    program, *words = shlex.split(line, comments=True)
    assert program == "sonovid", line
    assert main(shorten(words)) == 0, line


def run_page(path: Path, skipped: "tuple[str, ...]" = (), *, python: bool = True) -> dict:
    """Run the blocks of a page in order, and return the names that its Python code has defined.

    Args:
        path: the page.
        skipped: beginnings of commands that are not run.
        python: whether Python code is run too.
    """
    names: dict = {}
    for kind, title, text, indented in BLOCK.findall(path.read_text()):
        if title:
            Path(title).write_text(text)
        elif kind == "python":
            if python:
                exec(compile(text, str(path), "exec"), names)
        elif kind in ("bash", ""):
            lines = (text or indented).replace("\\\n", " ").splitlines()
            for line in (one.strip() for one in lines):
                # Indented blocks also hold outputs and requests.
                if (kind == "bash" or line.startswith("sonovid ")) and not line.startswith(skipped or ("\0",)):
                    run_command(line)
        else:
            assert kind in ("text", "json", "yaml", "toml"), f"{path.name} has a block of {kind}, which this test cannot run"
    return names


def packaged_models(folder: Path, model: Path, monkeypatch) -> None:
    """Put a model in place of the packaged ones."""
    for name in packaged.NAMES:
        shutil.copytree(model, folder / name)
    monkeypatch.setattr(packaged, "FOLDER", folder)

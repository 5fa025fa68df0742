"""The evaluation tab: uploaded clips evaluated as by `sonovid evaluate`."""

import asyncio
import os
import secrets
import shutil
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from sonovid.app.errors import RequestError, one_line
from sonovid.app.jobs import Jobs
from sonovid.app.page import rendering

ABOUT = """Evaluate clips, with a reference where a metric needs one. Clips and reference are paired by file name; a single clip
and a single reference are always paired. Metrics whose weights are missing on this machine are skipped; nothing is downloaded."""


class MeasureActions:
    """The actions of the tab, independent of its components."""

    def __init__(self, jobs: Jobs):
        self.jobs = jobs
        self.folder = jobs.folder / "measured"
        shutil.rmtree(self.folder, ignore_errors=True)

    def evaluate_files(self, clips: Sequence[str], reference: Sequence[str], metrics: Sequence[str]) -> str:
        """Evaluate uploaded files.

        Args:
            clips: Paths of the generated clips.
            reference: Paths of the reference clips, or none.
            metrics: Names of metric families; none: all that apply.

        Returns:
            The results as HTML.

        Raises:
            ValueError: no files, too many files, or files that cannot be evaluated.
        """
        from sonovid.metrics import catalogue
        from sonovid.metrics.cache import Cache
        from sonovid.metrics.evaluate import EvaluationConfig, evaluate
        from sonovid.metrics.extraction import Extraction
        from sonovid.metrics.sets import open_set

        if not clips:
            raise RequestError("no clips: upload at least one")
        limit = self.jobs.settings.max_measured
        if len(clips) + len(reference) > limit:
            raise RequestError(f"{len(clips) + len(reference)} files: the limit is {limit}; use sonovid evaluate")
        chosen = catalogue.select(",".join(metrics) or None)
        place = self.folder / secrets.token_hex(8)
        alone = len(clips) == 1 and len(reference) == 1
        try:
            generated = open_set(self._link_files(clips, place / "clips", alone), title="clips")
            true = open_set(self._link_files(reference, place / "reference", alone), title="reference") if reference else None
            how = EvaluationConfig(device=self.jobs.settings.devices[0], extraction=Extraction(Cache(None), quiet=True))
            return render_evaluation(evaluate(generated, true, chosen, how))
        except ValueError as error:
            raise ValueError(str(error).replace(f"{place}{os.sep}", "")) from None
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _link_files(self, files: Sequence[str], folder: Path, alone: bool) -> Path:
        """Link the uploaded files into a folder. alone: under a common name, which pairs a single clip and reference."""
        folder.mkdir(parents=True)
        own = (self.jobs.folder / "page").resolve()
        for one in files:
            path = Path(one).resolve()
            if not path.is_relative_to(own):
                raise RequestError("upload the files themselves; other paths are not read")
            name = f"clip{path.suffix}" if alone else path.name
            if (folder / name).exists():
                raise RequestError(f"{name}: two files have this name; clips are paired by name")
            os.link(path, folder / name)
        return folder


class MeasureTab:
    """The components of the tab and their events."""

    def __init__(self, work: MeasureActions):
        from sonovid.metrics import catalogue

        self.work = work
        gr.Markdown(ABOUT)
        with gr.Row():
            self.clips = self._files("Clips", "clips")
            self.reference = self._files("Reference (optional)", "reference")
        families = sorted(catalogue.families())
        self.metrics = gr.Dropdown(
            families,
            value=[],
            multiselect=True,
            label="Metrics",
            info="families of metrics; none selected: all that apply",
            elem_id="metrics",
        )
        self.go = gr.Button("Measure", variant="primary", elem_id="measure")
        self.result = gr.HTML('<p class="sv-empty">The table will appear here.</p>', elem_id="measured")
        # One at a time, since the evaluation uses the device of a worker.
        self.go.click(
            self.measure, [self.clips, self.reference, self.metrics], [self.result], concurrency_limit=1, api_visibility="private"
        )

    def _files(self, label: str, name: str) -> Any:
        """A component for files or a whole folder."""
        with gr.Column(min_width=260):
            files = gr.File(label=label, file_count="multiple", file_types=["video", "audio"], height=160, elem_id=name)
            folder = gr.UploadButton("Choose a folder", file_count="directory", size="sm")
            folder.upload(lambda found: found, [folder], [files], api_visibility="private")
        return files

    async def measure(self, clips: Any, reference: Any, metrics: Any) -> str:
        """The results, or the error's line."""
        try:
            return await asyncio.to_thread(self.work.evaluate_files, clips or [], reference or [], metrics or [])
        except (ValueError, OSError) as error:
            return rendering.render_error(one_line(error))


def render_evaluation(evaluation: Any) -> str:
    """An evaluation as HTML: the table, its notes, and the skipped metrics."""
    from sonovid.metrics.report import cells

    found = cells.table(evaluation)
    notes = [*(f"[{place}] {note}" for place, note in enumerate(found.notes, 1)), *found.warnings]
    listed = "".join(f"<li>{escape(line)}</li>" for line in notes)
    skipped = "".join(f"<li><b>{escape(names)}</b>: {escape(why)}</li>" for names, why in found.skipped)
    count = len(evaluation.skipped)
    folded = (
        f"<details><summary>{count} metric{'s' * (count > 1)} skipped, and why</summary><ul>{skipped}</ul></details>"
        if skipped
        else ""
    )
    return (
        f"<h3>{escape(found.title)}</h3>{rendering.render_table(cells.HEADER, found.rows)}"
        f'<div class="sv-notes"><p>{escape(cells.LEGEND)}</p><ul>{listed}</ul>{folded}</div>'
    )

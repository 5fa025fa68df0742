"""HTML of jobs and tables. All user input is escaped."""

import base64
import time
from html import escape
from typing import Any

from sonovid.app.jobs import JobProgress
from sonovid.app.store import QUEUED, Job

EMPTY = '<p class="sv-empty">The clip will appear here.</p>'
CANCELLED = '<p class="sv-empty" role="status">Cancelled.</p>'
SMALL = 128  # Pixels; smaller frames are enlarged without interpolation.


def render_error(line: str) -> str:
    """The line of an error."""
    return f'<p class="sv-error" role="alert">error: {escape(line)}</p>'


def render_progress(job: Job, live: JobProgress | None, ahead: int) -> str:
    """The progress of a job, with its intermediate frames."""
    if job.status == QUEUED:
        text = "Waiting: next in the queue." if ahead == 0 else f"Waiting: {ahead} before this one."
        return f'<div class="sv-progress"><p role="status">{text}</p><progress></progress></div>'
    if live is None or not live.steps:
        return '<div class="sv-progress"><p role="status">Starting.</p><progress></progress></div>'
    text = "Writing the file." if live.step >= live.steps else f"Sampling: step {live.step} of {live.steps}."
    bar = f'<progress aria-label="sampling steps" value="{live.step}" max="{live.steps}"></progress>'
    picture = ""
    if live.frame_strip is not None:
        content = base64.b64encode(live.frame_strip).decode()
        picture = f'<img alt="Intermediate frames" src="data:image/jpeg;base64,{content}">'
    return f'<div class="sv-progress"><p role="status">{text}</p>{bar}{picture}</div>'


def render_result(job: Job) -> str:
    """A finished job: its clips beside their source, and their properties; or the error."""
    if job.error is not None:
        return render_error(job.error)
    return "".join(_render_clip(job, clip) for clip in job.clips)


def job_title(job: Job) -> str:
    """A job in one line, for a list."""
    what = (
        job.request.get("prompt")
        or job.request.get("label")
        or {"source_video": "sound for a video"}.get(next(iter(job.sources), ""), "video for a sound")
    )
    when = time.strftime("%H:%M", time.localtime(job.created_at))
    return f"{when}  {what[:60]}{'…' if len(what) > 60 else ''} (seed {job.request.get('seed')})"


def page_header(line: str) -> str:
    """The header of the page."""
    return f'<div class="sv-title"><h1>Sonovid</h1><p>{escape(line)}</p></div>'


def render_table(header: "tuple[str, ...] | list[str]", rows: Any) -> str:
    """A table."""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="sv-wide" tabindex="0" role="region" aria-label="table"><table><tr>{head}</tr>{lines}</table></div>'


def _render_clip(job: Job, clip: dict[str, Any]) -> str:
    """One clip."""
    index = clip["index"]
    place = f"/v1/videos/{job.id}/content?index={index}"
    source = next(iter(job.sources), None)
    small = ' class="sv-small"' if min(map(int, clip["size"].split("x"))) < SMALL else ""
    caption = {"source_video": "With generated sound", "source_audio": "With generated frames"}.get(source or "", "")
    figures = _render_figure(f'<video controls loop playsinline{small} src="{place}" aria-label="the clip"></video>', caption)
    if source is not None:
        kind = "video" if source == "source_video" else "audio"
        given = f'<{kind} controls src="/v1/videos/{job.id}/content?variant=source" aria-label="the source"></{kind}>'
        figures = _render_figure(given, "Source") + figures
    facts = [f"{clip['duration_s']:g} s", f"{clip['size']} at {clip['fps']} frames per second", f"{clip['num_frames']} frames"]
    facts += [
        f"{clip['num_samples']} samples at {clip['sample_rate']} Hz",
        f"seed {clip['seed']}",
        f"model {job.request['model']}",
    ]
    if job.started_at is not None and job.completed_at is not None:
        facts.append(f"generated in {job.completed_at - job.started_at:.1f} s")
    preview = f"{place}&amp;variant=preview"
    return (
        f'<section aria-label="clip {index + 1}"><div class="sv-clips">{figures}</div>'
        f'<img class="sv-preview" src="{preview}" alt="Frames in a row above the spectrogram, with onsets marked">'
        f'<p class="sv-facts">{escape(" · ".join(facts))}</p>'
        f'<p class="sv-links"><a href="{place}&amp;download=true" download>Download the clip</a>'
        f'<a href="{preview}&amp;download=true" download>Download the preview</a></p></section>'
    )


def _render_figure(inner: str, caption: str) -> str:
    return f"<figure>{f'<figcaption>{caption}</figcaption>' if caption else ''}{inner}</figure>"

"""The generation tab: inputs, progress, result and history."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from sonovid.app.errors import RequestError, one_line
from sonovid.app.jobs import Jobs
from sonovid.app.models import ModelCard, Models
from sonovid.app.page import rendering
from sonovid.app.page.examples import PROMPTS, Examples
from sonovid.app.request import parse_request, validate_request
from sonovid.app.store import Job
from sonovid.app.uploads import Upload, read_chunks, save_upload

POLL_SECONDS = 0.2  # Interval at which a page checks the job that it follows.
DEFAULT_GUIDANCE = 4.0  # Position of the sliders if the model's default is unknown.
MAX_HISTORY = 20  # Jobs in a browser's history.


class GenerateActions:
    """The actions of the tab, independent of its components. Jobs belong to the queue; a page only follows them."""

    def __init__(self, jobs: Jobs, models: Models, examples: Examples):
        self.jobs, self.models, self.examples = jobs, models, examples

    def submit(self, values: dict[str, Any], video: str | None, audio: str | None) -> Job:
        """Queue a job with the values of the page.

        Raises:
            RequestError: a value that is not accepted, or a full queue.
        """
        given = {name: path for name, path in (("source_video", video), ("source_audio", audio)) if path}
        if len(given) > 1:
            raise RequestError("a video and a sound are both given, so there is nothing to generate: remove one of them")
        fields = {name: value for name, value in values.items() if value not in (None, "")}
        card = self.models.card(fields.get("model"))
        if given or fields.get("seconds") == float(card.seconds):
            fields.pop("seconds", None)
        for name, own in (("guidance_scale", card.guidance_scale), ("audio_guidance_scale", card.audio_guidance_scale)):
            if own is None and fields.get(name) == _slider_value(own):
                del fields[name]  # Keep the model's unknown default.
        inputs = validate_request(parse_request(fields), card, self.jobs.settings, next(iter(given), None))
        uploads = [self._save_upload(name, path) for name, path in given.items()]
        return self.jobs.submit(inputs.model_dump(exclude_none=True), uploads)

    def _save_upload(self, name: str, path: str) -> Upload:
        """Copy and check a file that Gradio has stored."""
        place = Path(path).resolve()
        own = [(self.jobs.folder / "page").resolve(), self.examples.folder.resolve()]
        if not any(place.is_relative_to(folder) for folder in own):
            raise RequestError(f"{name}: upload the file itself; other paths are not read")
        return save_upload(read_chunks(place), name, place.name, self.jobs.incoming, self.jobs.settings)

    async def follow(self, job_id: str) -> AsyncIterator[tuple[str, bool]]:
        """Yield the HTML of a job whenever it changes, and whether the job has ended."""
        last = ""
        while True:
            try:
                job = await asyncio.to_thread(self.jobs.get, job_id)
            except RequestError:
                yield rendering.CANCELLED, True
                return
            if job.is_finished:
                yield rendering.render_result(job), True
                return
            html = rendering.render_progress(job, self.jobs.watch(job), await asyncio.to_thread(self.jobs.num_ahead, job))
            if html != last:
                yield html, False
            last = html
            await asyncio.sleep(POLL_SECONDS)

    def recent_jobs(self, ids: Any) -> list[Job]:
        """The jobs that a browser remembers and that still exist, newest first."""
        wanted = [one for one in ids if isinstance(one, str)][:MAX_HISTORY] if isinstance(ids, list) else []
        return [job for one in wanted if (job := self.jobs.store.get(one)) is not None]


class GenerateTab:
    """The components of the tab and their events."""

    def __init__(self, work: GenerateActions):
        self.work = work
        with gr.Row():
            with gr.Column(scale=5, min_width=300):
                self._inputs()
            with gr.Column(scale=6, min_width=300):
                self._outputs()
        self._events()

    def _inputs(self) -> None:
        """Create the input components."""
        examples, card = self.work.examples, self.work.models.default
        self.prompt = gr.Textbox(
            label="Prompt", info="Describes what is seen and heard.", lines=2, max_length=2000, elem_id="prompt"
        )
        gr.Examples([[words] for words in PROMPTS], [self.prompt], label="Example prompts")
        with gr.Accordion("Source: a video or a sound", open=False):
            self.video = gr.Video(label="Video, for which sound is generated", sources=["upload"], height=180, elem_id="video")
            gr.Examples([[str(examples.video)]], [self.video], label="Example video")
            self.audio = gr.Audio(
                label="Sound, for which video is generated", sources=["upload"], type="filepath", elem_id="audio"
            )
            gr.Examples([[str(examples.audio)]], [self.audio], label="Example sound")
        with gr.Row():
            self.go = gr.Button("Generate", variant="primary", elem_id="go")
            self.cancel = gr.Button("Cancel", variant="stop", interactive=False, elem_id="cancel")
        with gr.Accordion("Settings", open=False):
            self.model = gr.Dropdown(list(self.work.models.cards), value=card.id, label="Model", elem_id="model")
            with gr.Row():
                self.seconds = gr.Number(
                    float(card.seconds), label="Seconds", info=_describe_length(card), minimum=0.1, elem_id="seconds"
                )
                self.steps = gr.Slider(1, 100, card.steps, step=1, label="Sampling steps", elem_id="steps")
            with gr.Row():
                self.guidance = gr.Slider(0, 10, _slider_value(card.guidance_scale), step=0.1, label="Video guidance scale")
                self.audio_guidance = gr.Slider(
                    0, 10, _slider_value(card.audio_guidance_scale), step=0.1, label="Audio guidance scale"
                )
            with gr.Row():
                self.seed = gr.Number(0, label="Seed", precision=0, minimum=0, elem_id="seed")
                self.other_seed = gr.Checkbox(True, label="Random seed each time", elem_id="other-seed")
            self.negative = gr.Textbox(label="Negative prompt", max_length=2000)
            self.label = gr.Dropdown(list(card.labels), label="Class", visible=bool(card.labels))

    def _outputs(self) -> None:
        """Create the output components."""
        self.result = gr.HTML(rendering.EMPTY, elem_id="result")
        self.again = gr.Button("Repeat with another seed", interactive=False, elem_id="again")
        self.history = gr.Radio([], label="History of this browser", visible=False, elem_id="history")
        self.shown = gr.State("")
        # Not a secret: the page's script contains it.
        self.ids = gr.BrowserState([], storage_key="sonovid-history", secret="sonovid")

    def _events(self) -> None:
        """Connect the components with their actions."""
        outputs = [self.result, self.shown, self.ids, self.history, self.go, self.cancel, self.again, self.seed]
        options: dict[str, Any] = {"show_progress": "hidden", "concurrency_limit": None, "api_visibility": "private"}
        inputs = [self.prompt, self.video, self.audio, self.model, self.seconds, self.steps, self.guidance, self.audio_guidance]
        inputs += [self.seed, self.other_seed, self.negative, self.label, self.ids]
        gr.on([self.go.click, self.prompt.submit], self.generate, inputs, outputs, **options)
        self.again.click(self.repeat, [self.shown, self.ids], outputs, **options)
        self.cancel.click(self.stop, [self.shown], [self.cancel], **options)
        self.history.input(self.select_job, [self.history], [self.result, self.shown, self.again], **options)
        self.model.input(
            self.select_model, [self.model], [self.seconds, self.steps, self.guidance, self.audio_guidance, self.label], **options
        )
        self.on_load = {"fn": self.resume, "inputs": [self.ids], "outputs": outputs, **options}

    # --- events ---------------------------------------------------------------------------------------------------------

    async def generate(self, *values: Any) -> AsyncIterator[tuple]:
        """Queue a job and follow it to its end."""
        prompt, video, audio, model, seconds, steps, guidance, audio_guidance, seed, other, negative, label, ids = values
        fields = {"prompt": prompt, "model": model, "seconds": seconds, "num_inference_steps": steps, "guidance_scale": guidance}
        fields |= {"audio_guidance_scale": audio_guidance, "negative_prompt": negative, "label": label}
        fields["seed"] = secrets.randbits(31) if other else seed
        try:
            job = await asyncio.to_thread(self.work.submit, fields, video, audio)
        except (ValueError, OSError) as error:
            yield (rendering.render_error(one_line(error)), *self._idle_updates())
            return
        async for update in self._follow(job, ids):
            yield update

    async def repeat(self, shown: str, ids: Any) -> AsyncIterator[tuple]:
        """Queue the shown job again with another seed."""
        try:
            job = await asyncio.to_thread(self.work.jobs.resubmit, shown, {"seed": secrets.randbits(31)})
        except (ValueError, OSError) as error:
            yield (rendering.render_error(one_line(error)), *self._idle_updates())
            return
        async for update in self._follow(job, ids):
            yield update

    async def resume(self, ids: Any) -> AsyncIterator[tuple]:
        """After the page was loaded: show this browser's newest job, and follow it if it has not ended."""
        there = await asyncio.to_thread(self.work.recent_jobs, ids)
        if not there:
            yield (gr.skip(), "", gr.skip(), gr.skip(), gr.skip(), gr.skip(), gr.skip(), gr.skip())
            return
        async for update in self._follow(there[0], [job.id for job in there]):
            yield update

    def stop(self, shown: str) -> Any:
        """Cancel the followed job. Its followers see that it is gone."""
        try:
            if not self.work.jobs.get(shown).is_finished:
                self.work.jobs.delete(shown)
        except RequestError:
            pass
        return gr.update(interactive=False)

    def select_job(self, job_id: str) -> tuple:
        """Show a job of the history."""
        try:
            job = self.work.jobs.get(job_id)
        except RequestError as refused:
            return rendering.render_error(str(refused)), "", gr.update(interactive=False)
        html = rendering.render_result(job) if job.is_finished else rendering.render_progress(job, self.work.jobs.watch(job), 0)
        return html, job.id, gr.update(interactive=job.error is None and job.is_finished)

    def select_model(self, model: str) -> tuple:
        """Set the default values of another model."""
        card = self.work.models.card(model)
        seconds = gr.update(value=float(card.seconds), info=_describe_length(card))
        labels = gr.update(choices=list(card.labels), value=None, visible=bool(card.labels))
        return seconds, card.steps, _slider_value(card.guidance_scale), _slider_value(card.audio_guidance_scale), labels

    async def _follow(self, job: Job, ids: Any) -> AsyncIterator[tuple]:
        """Yield updates of all outputs until a job has ended."""
        kept = [job.id, *(one for one in (ids if isinstance(ids, list) else []) if one != job.id)][:MAX_HISTORY]
        history, first = self._update_history(kept, job.id), True
        async for html, ended in self.work.follow(job.id):
            if ended:
                there = self.work.jobs.store.get(job.id)
                good = there is not None and there.error is None
                kept = kept if there is not None else [one for one in kept if one != job.id]
                yield (
                    html,
                    job.id if there is not None else "",
                    kept,
                    self._update_history(kept, job.id),
                    gr.update(interactive=True),
                    gr.update(interactive=False),
                    gr.update(interactive=good),
                    gr.skip(),
                )
            elif first:
                busy, idle = gr.update(interactive=True), gr.update(interactive=False)
                yield html, job.id, kept, history, idle, busy, idle, job.request.get("seed", 0)
            else:
                yield (html, *(gr.skip() for _ in range(7)))
            first = False

    def _update_history(self, ids: Sequence[str], chosen: str) -> Any:
        """The history with one of its jobs selected."""
        choices = [(rendering.job_title(job), job.id) for job in self.work.recent_jobs(list(ids))]
        there = [value for _, value in choices]
        return gr.update(choices=choices, value=chosen if chosen in there else None, visible=bool(choices))

    def _idle_updates(self) -> tuple:
        """Updates of the other outputs if nothing was queued."""
        return gr.skip(), gr.skip(), gr.skip(), gr.update(interactive=True), gr.update(interactive=False), gr.skip(), gr.skip()


def _describe_length(card: ModelCard) -> str:
    """The hint about durations."""
    longer = "longer clips are generated window by window" if card.can_extend else "at most"
    return f"{float(card.seconds):g} s: {longer}. A source keeps its own duration."


def _slider_value(scale: float | None) -> float:
    """The initial position of a guidance slider."""
    return DEFAULT_GUIDANCE if scale is None else scale

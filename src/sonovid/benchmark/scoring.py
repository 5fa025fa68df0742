"""Scoring of systems on the held-out scenes."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from sonovid import media
from sonovid.benchmark import event_f1
from sonovid.benchmark.held_out import TASKS, HeldOut, Scene
from sonovid.benchmark.reader import FPS, SAMPLE_RATE, SIZE, EventReader, packaged, read_attributes, read_events
from sonovid.benchmark.shape_scores import MEASURES, read_shape
from sonovid.benchmark.shape_scores import values as shape_values
from sonovid.core import progress
from sonovid.core.av import AV, Task
from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry
from sonovid.data.scenes.hits import TIMES
from sonovid.media import MediaError
from sonovid.metrics import catalogue
from sonovid.metrics.alignment import sound_onsets
from sonovid.metrics.compare import compare
from sonovid.metrics.evaluate import EvaluationConfig, evaluate_all
from sonovid.metrics.results import Evaluation, Result, oriented_value
from sonovid.metrics.sets import MediaSet, open_set
from sonovid.metrics.statistics import holm, mean_interval, paired_difference

# The metrics of each task besides F1, by the names of `sonovid metrics`.
METRICS = {
    Task.VIDEO_TO_AUDIO: ("sync_scenes", "kad_scenes"),
    Task.AUDIO_TO_VIDEO: ("sync_scenes", "fvd_scenes"),
    Task.JOINT: ("sync_scenes", "fvd_scenes", "kad_scenes"),
}
# The name of each task's F1, and its events.
EVENTS = {
    Task.VIDEO_TO_AUDIO: ("onsets_f1", "onsets of the generated audio against the scene's events"),
    Task.AUDIO_TO_VIDEO: ("events_read_f1", "events detected in the generated video against the scene's events"),
    Task.JOINT: ("onsets_events_read_f1", "onsets of the generated audio against events detected in the generated video"),
}
ATTRIBUTES = ("world", "material", "colour")


@dataclass(frozen=True)
class System:
    """One system.

    Attributes:
        title: its name in tables.
        folder: contains a folder of clips for each task.
        info: further rows of the table, as plain values.
    """

    title: str
    folder: Path
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Score:
    """One number of one system in one task. low, high: 95 % interval. clips: counted clips. missing: scenes without a clip."""

    task: str
    measure: str
    what: str
    better: str
    system: str
    value: float
    low: float
    high: float
    floor: float | None
    ceiling: float | None
    clips: int
    missing: int = 0


@dataclass(frozen=True)
class Pair:
    """The comparison of two systems by one number: p, and p after Holm's correction over all pairs of the table."""

    task: str
    measure: str
    first: str
    second: str
    p: float
    adjusted: float = float("nan")


@dataclass(frozen=True)
class Scores:
    """The result of scoring: numbers, comparisons, notes, info on each system, and the held-out scenes."""

    scores: tuple[Score, ...]
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]
    info: Mapping[str, Mapping[str, Any]]
    held_out: HeldOut

    def of(self, task: str, measure: str, system: str) -> Score | None:
        """The number of a system, or None."""
        wanted = (task, measure, system)
        return next((one for one in self.scores if (one.task, one.measure, one.system) == wanted), None)

    def marks(self, task: str, measure: str, level: float = 0.05) -> dict[str, str]:
        """Mark each system, by title: "best", "same" if it does not differ significantly from the best, or ""."""
        own = [one for one in self.scores if (one.task, one.measure) == (task, measure)]
        if len(own) < 2:
            return {one.system: "" for one in own}
        top = max(own, key=lambda one: oriented_value(one.value, one.better)).system
        pairs = [pair for pair in self.pairs if (pair.task, pair.measure) == (task, measure)]
        adjusted = {frozenset((pair.first, pair.second)): pair.adjusted for pair in pairs}
        same = {one.system: not adjusted.get(frozenset((top, one.system)), 1.0) < level for one in own}
        return {one.system: "best" if one.system == top else ("same" if same[one.system] else "") for one in own}


@dataclass(frozen=True)
class Detections:
    """What is detected in one clip; None for streams that were not analysed.

    Attributes:
        onsets: the times of audio onsets, in seconds.
        events: the times of events that the reader finds in the frames, in seconds.
        attributes: the attributes that the reader recognises.
    """

    onsets: list[float] | None = None
    events: list[float] | None = None
    attributes: dict[str, str] | None = None


def score(
    held_out: HeldOut,
    reference: "str | Path",
    systems: Sequence[System],
    *,
    tasks: Sequence[Task] = tuple(TASKS.values()),
    config: EvaluationConfig | None = None,
    reader: EventReader | None = None,
) -> Scores:
    """Score every system in every task that it has a folder for.

    Args:
        held: the scenes.
        reference: the folder of the true clips, `reference` of `held_out.export`.
        systems: where their clips lie: `folder/TASK/NAME.suffix`, as `held_out.export` says.
        tasks: which tasks.
        measuring: settings of the metrics of `sonovid metrics`. The cache is used for these only.
        reader: the event reader; default: the packaged one.

    Raises:
        ValueError: two systems with one title, a world that the reader does not know, or no clips of these scenes.
    """
    titles = [one.title for one in systems]
    if len(set(titles)) < len(titles) or not titles:
        raise ValueError(f"systems {', '.join(titles) or 'none'}: expected one or more with different titles")
    reader = reader or packaged()
    unknown = set(held_out.worlds) - set(reader.classes["world"])
    if unknown:
        raise ValueError(f"worlds {', '.join(sorted(unknown))}: the reader of events knows {', '.join(reader.classes['world'])}")
    config = config or EvaluationConfig()
    truth = open_set(reference, title="held-out scenes", workers=config.extraction.workers)
    true = _detect_truth(held_out, truth, reader)
    collector = _Collector([], [], [])
    for task in tasks:
        found = ((one, _open_clips(one, task, held_out, collector.notes)) for one in systems)
        own = [(one, clips) for one, clips in found if clips is not None]
        if own:
            _score_task(task, own, held_out, truth, true, reader, config, collector)
    if not collector.scores:
        layout = ", ".join(f"SYSTEM/{name}/NAME.mp4" for name in TASKS)
        raise ValueError(f"no clips of the held-out scenes in {', '.join(str(one.folder) for one in systems)}; expected {layout}")
    adjusted = holm([pair.p for pair in collector.pairs])
    pairs = tuple(replace(pair, adjusted=float(p)) for pair, p in zip(collector.pairs, adjusted, strict=True))
    info = {one.title: dict(one.info) for one in systems}
    return Scores(tuple(collector.scores), pairs, tuple(dict.fromkeys(collector.notes)), info, held_out)


@dataclass
class _Collector:
    scores: list[Score]
    pairs: list[Pair]
    notes: list[str]


def _open_clips(system: System, task: Task, held_out: HeldOut, notes: list[str]) -> MediaSet | None:
    """Open a system's clips of the held-out scenes for one task; None if there are none."""
    folder = system.folder / task.name.lower()
    if not folder.is_dir() or not any(folder.iterdir()):
        return None
    generated = open_set(folder, title=system.title)
    names = {scene.name for scene in held_out.scenes}
    kept = tuple(item for item in generated.items if item.name in names)
    if not kept:
        notes.append(f"{system.title}, {task.name.lower()}: none of {len(generated)} clips has the name of a held-out scene")
        return None
    if len(kept) < held_out.count:
        notes.append(
            f"{system.title}, {task.name.lower()}: clips of {held_out.count - len(kept)} of {held_out.count} scenes are missing"
        )
    notes += [f"{system.title}, {task.name.lower()}: left out {one.name}: {one.reason}" for one in generated.left_out[:3]]
    return replace(generated, items=kept)


def _score_task(
    task: Task,
    own: Sequence[tuple[System, MediaSet]],
    held_out: HeldOut,
    truth: MediaSet,
    true: Sequence[Detections],
    reader: EventReader,
    config: EvaluationConfig,
    collector: _Collector,
) -> None:
    """Score all systems in one task, and add the results to the collector."""
    name, places = task.name.lower(), {scene.name: i for i, scene in enumerate(held_out.scenes)}
    generated: dict[str, dict[int, Detections]] = {}
    for system, clips in own:
        bar = progress.bar(clips.items, desc=f"{name} of {system.title}", unit="clip", quiet=config.extraction.quiet)
        generated[system.title] = {}
        for item in bar:
            seen = _read_and_detect(item.path, task.value, reader, held_out)
            if isinstance(seen, str):
                collector.notes.append(f"{system.title}, {name}: left out {item.name}: {seen}")
            else:
                generated[system.title][places[item.name]] = seen
    _score_events(task, generated, held_out, true, collector, config.seed)
    if task is Task.JOINT:
        _score_attributes(generated, held_out, true, collector, config.seed)
    if task is not Task.VIDEO_TO_AUDIO:
        _score_shapes(task, own, held_out, truth, collector, config.seed)
    chosen = catalogue.select(METRICS[task])
    try:
        evaluations = evaluate_all([clips for _, clips in own], truth, chosen, config)
    except ValueError as error:
        collector.notes.append(f"{name}: {error}")
        return
    _score_metrics(name, evaluations, held_out, collector, config.seed)


def _detect_truth(held_out: HeldOut, truth: MediaSet, reader: EventReader) -> list[Detections]:
    """Analyse the true clips of all scenes."""
    paths = {item.name: item.path for item in truth.items}
    found: list[Detections] = []
    for scene in held_out.scenes:
        seen = _read_and_detect(paths[scene.name], AV(True, True), reader, held_out) if scene.name in paths else "not there"
        if isinstance(seen, str):
            raise ValueError(f"the true clip of {scene.name}: {seen}; sonovid benchmark export writes it again")
        found.append(seen)
    return found


def _read_and_detect(path: str, streams: AV, reader: EventReader, held_out: HeldOut) -> Detections | str:
    """Analyse a file at the rate and size of the reader, or return the reason why it cannot be read."""
    geometry = reader_geometry(held_out.geometry)
    try:
        clip = media.read(
            path,
            fps=geometry.fps,
            size=(geometry.height, geometry.width),
            sample_rate=geometry.sample_rate,
            mono=True,
            seconds=geometry.seconds,
            video=streams.video,
            audio=streams.audio,
        )
    except MediaError as error:
        return str(error).removeprefix(f"{path}: ")
    if (streams.video and clip.frames is None) or (streams.audio and clip.waveform is None):
        return "without video" if streams.video and clip.frames is None else "without audio"
    return _detect(clip, streams, reader)


def reader_geometry(geometry: Geometry) -> Geometry:
    """The geometry at which the reader sees scenes of some geometry: of the same length, and alike for all systems."""
    return Geometry(max(1, round(geometry.seconds * FPS)), FPS, SIZE, SIZE, SAMPLE_RATE)


def _detect(clip: Clip, streams: AV, reader: EventReader) -> Detections:
    onsets = events = attributes = None
    if streams.audio:
        assert clip.waveform is not None
        onsets = sound_onsets(clip.waveform[0], clip.sample_rate).tolist()
    if streams.video:
        assert clip.frames is not None
        events = read_events(reader, clip.frames, FPS)
    if streams.video and streams.audio and clip.frames is not None and clip.waveform is not None:
        attributes = read_attributes(reader, clip.frames, clip.waveform[0])
    return Detections(onsets, events, attributes)


def event_lists(task: Task, own: Detections, scene: Scene) -> tuple[list[float], list[float]]:
    """The detected events of a clip and the events to compare them with."""
    if task is Task.VIDEO_TO_AUDIO:
        return own.onsets or [], list(scene.events)
    if task is Task.AUDIO_TO_VIDEO:
        return own.events or [], list(scene.events)
    return own.onsets or [], own.events or []


def _score_events(
    task: Task,
    generated: Mapping[str, Mapping[int, Detections]],
    held_out: HeldOut,
    true: Sequence[Detections],
    collector: _Collector,
    seed: int,
) -> None:
    """F1 of events. Floor: the next scene of the same world replaces the generated stream. Ceiling: the true clip."""
    measure, what = EVENTS[task]
    name = task.name.lower()

    def rows(found: Sequence[tuple[list[float], list[float]]]) -> np.ndarray:
        return event_f1.match_counts([f for f, _ in found], [t for _, t in found])

    scenes = held_out.scenes
    # Most landscapes have no events.
    asked = [i for i in range(held_out.count) if scenes[i].events]
    if not asked:
        return
    ceiling = [event_lists(task, true[i], scenes[i]) for i in range(held_out.count)]
    floor = event_f1.f1(rows([(ceiling[held_out.partner(i)][0], ceiling[i][1]) for i in asked])).value
    top = event_f1.f1(rows([ceiling[i] for i in asked])).value
    counted = {
        title: {i: rows([event_lists(task, found[i], scenes[i])])[0] for i in asked if i in found}
        for title, found in generated.items()
    }
    for title, own in counted.items():
        if not own:
            continue
        found = event_f1.f1(np.stack(list(own.values())), seed=seed)
        collector.scores.append(Score(name, measure, what, "higher", title, *found, floor, top, len(own), len(asked) - len(own)))

    def p(first: Mapping[int, np.ndarray], second: Mapping[int, np.ndarray]) -> float:
        shared = sorted(first.keys() & second.keys())
        return event_f1.permutation_test(
            *(np.array([one[i] for i in shared]).reshape(-1, 2) for one in (first, second)), seed=seed
        )

    _compare_systems(name, measure, counted, p, collector)


def _score_attributes(
    generated: Mapping[str, Mapping[int, Detections]],
    held_out: HeldOut,
    true: Sequence[Detections],
    collector: _Collector,
    seed: int,
) -> None:
    """Shares of clips that follow their prompt: attributes that the reader recognises, and the number of audio onsets."""
    for attribute in ATTRIBUTES:

        def right(one: Detections, i: int, attribute: str = attribute) -> float:
            named = held_out.scenes[i].attributes.get(attribute)
            return float((one.attributes or {}).get(attribute) == named) if named else float("nan")

        what = f"share of clips that show the {attribute} of their prompt, by the reader"
        _score_shares(f"text_{attribute}", what, right, generated, held_out, true, collector, seed)
    numbers = [number_in_prompt(scene.caption) for scene in held_out.scenes]
    if any(numbers):

        def counted(one: Detections, i: int) -> float:
            return float(len(one.onsets or ()) == numbers[i]) if numbers[i] else float("nan")

        what = "share of clips with as many audio onsets as their prompt says, among prompts that name a number"
        _score_shares("text_number", what, counted, generated, held_out, true, collector, seed)


def _score_shares(
    measure: str,
    what: str,
    value: Callable[[Detections, int], float],
    generated: Mapping[str, Mapping[int, Detections]],
    held_out: HeldOut,
    true: Sequence[Detections],
    collector: _Collector,
    seed: int,
) -> None:
    """One share of text-to-both clips. Floor: the next scene of the same world. Ceiling: the true clip."""
    values = {title: {i: value(one, i) for i, one in found.items()} for title, found in generated.items()}
    ceiling = [value(true[i], i) for i in range(held_out.count)]
    floor = [value(true[held_out.partner(i)], i) for i in range(held_out.count)]
    score_means("joint", measure, what, "higher", values, ceiling, floor, collector, seed)


def score_means(
    task: str,
    measure: str,
    what: str,
    better: str,
    values: Mapping[str, Mapping[int, float]],
    ceiling: Sequence[float],
    floor: Sequence[float],
    collector: _Collector,
    seed: int,
) -> None:
    """Add the mean of one number over the clips of each system. Clips whose number is NaN do not count.

    Args:
        task, measure, what, better: as in `Score`.
        values: a number for each clip, by system and index of the scene.
        ceiling: the same of the true clips.
        floor: the same of the random baseline; empty: none.
        collector: where the numbers go.
        seed: of the bootstrap.
    """
    known = {title: {i: v for i, v in own.items() if np.isfinite(v)} for title, own in values.items()}
    asked = sum(np.isfinite(ceiling)) if len(ceiling) else 0
    for title, own in known.items():
        if not own:
            continue
        found = mean_interval(np.array(list(own.values())), seed=seed) if len(own) > 1 else None
        low, high = (found.low, found.high) if found else (float("nan"), float("nan"))
        floor_mean, ceiling_mean = (
            float(np.nanmean(one)) if np.isfinite(one).any() else None for one in map(np.array, (floor, ceiling))
        )
        mean, missing = float(np.mean(list(own.values()))), max(0, int(asked) - len(own))
        collector.scores.append(
            Score(task, measure, what, better, title, mean, low, high, floor_mean, ceiling_mean, len(own), missing)
        )

    def p(first: Mapping[int, float], second: Mapping[int, float]) -> float:
        shared = sorted(first.keys() & second.keys())
        a, b = (np.array([one[i] for i in shared]) for one in (first, second))
        return paired_difference(a, b, seed=seed).p if len(shared) > 1 else float("nan")

    _compare_systems(task, measure, known, p, collector)


def number_in_prompt(prompt: str) -> int | None:
    """The number of events that a prompt of a scene names, 1 to 4, or None."""
    found = [number for number, phrases in TIMES.items() for phrase in phrases if re.search(rf"\b{phrase}\b", prompt)]
    return found[0] if len(found) == 1 else None


def _score_shapes(
    task: Task,
    own: Sequence[tuple[System, MediaSet]],
    held_out: HeldOut,
    truth: MediaSet,
    collector: _Collector,
    seed: int,
) -> None:
    """Shapes of objects in the generated frames. Ceiling: the true clips; there is no floor."""
    measures = [one for one in MEASURES if one.task is task and one.world in held_out.worlds]
    if not measures:
        return
    places = {scene.name: i for i, scene in enumerate(held_out.scenes)}

    def read(clips: MediaSet) -> dict[int, Any]:
        return {places[item.name]: read_shape(item.path, held_out.scenes[places[item.name]], held_out) for item in clips.items}

    true, generated = read(truth), {system.title: read(clips) for system, clips in own}
    for measure in measures:
        found = {title: shape_values(readings, measure, held_out) for title, readings in generated.items()}
        ceiling = list(shape_values(true, measure, held_out).values())
        score_means(task.name.lower(), measure.name, measure.what, measure.better, found, ceiling, [], collector, seed)


def _compare_systems(
    task: str, measure: str, values: Mapping[str, Any], p: Callable[[Any, Any], float], collector: _Collector
) -> None:
    """Compare every two systems by one number."""
    for first, second in combinations(values, 2):
        found = p(values[first], values[second])
        if np.isfinite(found):
            collector.pairs.append(Pair(task, measure, first, second, float(found)))


def _score_metrics(task: str, evaluations: Sequence[Evaluation], held_out: HeldOut, collector: _Collector, seed: int) -> None:
    """Add the metrics of `sonovid metrics`, with their own floors and ceilings."""
    for one in evaluations:
        collector.scores += [_of_result(task, one.title, result, held_out) for result in one.results]
        collector.notes += [f"{one.title}, {task}: {skipped.name} skipped: {skipped.reason}" for skipped in one.skipped]
    if len(evaluations) > 1:
        for pair in compare(evaluations, seed=seed).comparisons:
            if pair.barred:
                collector.notes.append(f"{pair.first} and {pair.second}, {task}: {pair.metric} is not comparable: {pair.barred}")
            elif np.isfinite(pair.p):
                collector.pairs.append(Pair(task, pair.metric, pair.first, pair.second, pair.p))


def _of_result(task: str, title: str, result: Result, held_out: HeldOut) -> Score:
    return Score(
        task,
        result.name,
        result.what,
        result.better,
        title,
        result.value,
        result.low,
        result.high,
        result.floor,
        result.ceiling,
        result.generated,
        held_out.count - result.generated,
    )

"""The HTTP API: OpenAI's video routes, with conditioning files and the exact properties of the results."""

import asyncio
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

import sonovid
from sonovid.app.errors import RequestError, error_body
from sonovid.app.jobs import Jobs
from sonovid.app.models import Models
from sonovid.app.request import SOURCES, VideoRequest, parse_request, validate_request
from sonovid.app.store import COMPLETED, FAILED, QUEUED, Job
from sonovid.app.uploads import MEDIA_TYPES, Upload, decode_data_url, save_upload

MAX_JSON_BYTES = 32 * 2**20  # JSON bodies are held in memory. Larger files are sent as multipart.
VARIANTS = ("video", "preview", "source")
POLL_SECONDS = 0.1  # Interval at which a synchronous request checks its job.


def router(jobs: Jobs, models: Models) -> APIRouter:
    """All routes of the API."""
    routes = APIRouter(prefix="/v1")
    _add_creation_routes(routes, jobs, models)
    _add_read_routes(routes, jobs, models)
    return routes


def _add_creation_routes(routes: APIRouter, jobs: Jobs, models: Models) -> None:
    """Add the routes that queue jobs."""
    body = {"requestBody": {"required": True, "content": _content_schemas()}}
    failures: dict[int | str, dict[str, Any]] = {
        status: {"description": why, "content": {"application/json": {"example": error_body(why, status)}}}
        for status, why in (
            (400, "a value that is not accepted"),
            (413, "too large"),
            (429, "the queue is full; see Retry-After"),
        )
    }

    @routes.post("/videos", openapi_extra=body, responses=failures, summary="Queue a video")
    async def create(request: Request) -> JSONResponse:
        """Queue a job and return its description. A source file is kept unchanged, and the other stream is generated for it."""
        job = await _submit(request, jobs, models)
        return JSONResponse(to_json(job, jobs))

    @routes.post(
        "/videos/sync",
        openapi_extra=body,
        response_class=Response,
        responses=failures | {200: {"content": {"video/mp4": {}}, "description": "the video"}},
        summary="Generate a video and wait for it",
    )
    async def create_and_wait(request: Request) -> Response:
        """Queue a job, wait for it and return the mp4. If the client disconnects, the job is cancelled."""
        job = await _submit(request, jobs, models, single=True)
        while not job.is_finished:
            if await request.is_disconnected():
                await run_in_threadpool(jobs.delete, job.id)
                return Response(status_code=499)
            await asyncio.sleep(POLL_SECONDS)
            job = await run_in_threadpool(jobs.get, job.id)
        if job.status == FAILED:
            line = job.error or "failed"
            raise RequestError(line, 500 if line.startswith("unexpected ") else 400)
        clip = job.clips[0]
        headers = {"X-Request-Id": job.id, "X-Model": str(job.request["model"]), "X-Seed": str(clip["seed"])}
        headers |= {"X-Fps": clip["fps"], "X-Num-Frames": str(clip["num_frames"]), "X-Num-Samples": str(clip["num_samples"])}
        headers |= {"X-Sample-Rate": str(clip["sample_rate"]), "X-Inference-Time-S": f"{_inference_seconds(job) or 0:.3f}"}
        return FileResponse(jobs.clip_file(job, 0, "video"), media_type="video/mp4", headers=headers)


def _add_read_routes(routes: APIRouter, jobs: Jobs, models: Models) -> None:
    """Add the routes that list, describe, fetch and delete."""

    @routes.get("/videos", summary="List videos")
    def listed(limit: int = 20, after: str | None = None, order: str = "desc") -> dict[str, Any]:
        """List jobs, newest first, or oldest first with order=asc. after: id of the job before the page."""
        if not 1 <= limit <= 100 or order not in ("asc", "desc"):
            raise RequestError(f"limit={limit}, order={order[:20]}: expected 1 to 100, and asc or desc")
        found = jobs.store.page(after, limit + 1, newest_first=order == "desc")
        data = [to_json(job, jobs) for job in found[:limit]]
        ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
        return {"object": "list", "data": data, **ends, "has_more": len(found) > limit}

    @routes.get("/videos/{video_id}", summary="Describe a video")
    def described(video_id: str) -> dict[str, Any]:
        """Status, progress, and the exact properties of the result."""
        return to_json(jobs.get(video_id), jobs)

    @routes.delete("/videos/{video_id}", summary="Delete a video, or cancel it")
    def deleted(video_id: str) -> dict[str, Any]:
        """Delete a job and its files. A job in progress stops at its next sampling step."""
        jobs.delete(video_id)
        return {"id": video_id, "object": "video.deleted", "deleted": True}

    @routes.get("/videos/{video_id}/content", response_class=FileResponse, summary="Fetch a video")
    def content(video_id: str, index: int = 0, variant: str = "video", download: bool = False) -> FileResponse:
        """A file of a finished job. index: number of the clip. variant: video, preview (PNG), or source, the uploaded file."""
        job = jobs.get(video_id)
        if variant not in VARIANTS:
            raise RequestError(f"variant={variant[:20]}: expected one of {', '.join(VARIANTS)}", param="variant")
        if variant == "source":
            name = next(iter(job.sources), None)
            path = None if name is None else jobs.source(job, name)
            if path is None or not path.is_file():
                raise RequestError(f"{job.id}: it has no source file", 404)
        else:
            path = jobs.clip_file(job, index, variant)
        kind = {".png": "image/png", ".bin": "application/octet-stream"}.get(path.suffix) or MEDIA_TYPES[path.suffix]
        disposition = "attachment" if download or path.suffix == ".bin" else "inline"
        name = f"sonovid-{job.id.removeprefix('video_')[:8]}-{variant}-{index}{path.suffix}"
        return FileResponse(path, media_type=kind, filename=name, content_disposition_type=disposition)

    @routes.get("/models", summary="List models")
    def offered() -> dict[str, Any]:
        """The models that can be named as `model`, and what each generates."""
        return {"object": "list", "data": [card.to_json() for card in models.cards.values()]}


def health(jobs: Jobs) -> dict[str, Any]:
    """The server's status and the number of its jobs."""
    return {"status": "ok", "version": sonovid.__version__, **jobs.counts(), "max_queue": jobs.settings.max_queue}


def to_json(job: Job, jobs: Jobs) -> dict[str, Any]:
    """A job in the format of OpenAI's video API, with further fields."""
    live = jobs.live.get(job.id)
    first = job.clips[0] if job.clips else {}
    return {
        "id": job.id,
        "object": "video",
        "model": job.request.get("model"),
        "status": job.status,
        "progress": 100 if job.status == COMPLETED else live.percent if live is not None else 0,
        "queue_position": jobs.num_ahead(job) if job.status == QUEUED else None,
        "created_at": int(job.created_at),
        "completed_at": None if job.completed_at is None else int(job.completed_at),
        "expires_at": None if job.completed_at is None else int(job.completed_at + jobs.settings.max_age),
        "prompt": job.request.get("prompt"),
        "seconds": f"{first['duration_s']:g}" if first else job.request.get("seconds"),
        "size": first.get("size"),
        "fps": first.get("fps"),
        "num_frames": first.get("num_frames"),
        "sample_rate": first.get("sample_rate"),
        "num_samples": first.get("num_samples"),
        "seed": job.request.get("seed"),
        "n": job.request.get("n") or 1,
        "source": next(iter(job.sources), None),
        "inference_time_s": _inference_seconds(job),
        "clips": job.clips,
        "error": None if job.error is None else {"code": "generation_failed", "message": job.error},
    }


def _inference_seconds(job: Job) -> float | None:
    """Seconds from a job's start to its end."""
    return None if job.completed_at is None or job.started_at is None else round(job.completed_at - job.started_at, 3)


async def _submit(request: Request, jobs: Jobs, models: Models, *, single: bool = False) -> Job:
    """Validate a request and queue its job.

    Args:
        request: The HTTP request.
        jobs: The queue.
        models: The models of the server.
        single: Whether only one clip may be requested.

    Raises:
        RequestError: a value that is not accepted, or a full queue.
    """
    fields, sources = await _parse_fields(request)
    video_request = parse_request(fields)
    if len(sources) > 1:
        raise RequestError("source_video and source_audio are both given, so there is nothing to generate: give one of them")
    card = models.card(video_request.model)
    video_request = validate_request(video_request, card, jobs.settings, next(iter(sources), None))
    if single and video_request.count > 1:
        raise RequestError(f"n={video_request.n}: /v1/videos/sync answers with one clip; use /v1/videos", param="n")
    uploads = [await run_in_threadpool(_save_source, name, source, jobs) for name, source in sources.items()]
    return await run_in_threadpool(jobs.submit, video_request.model_dump(exclude_none=True), uploads)


def _save_source(name: str, source: "UploadFile | str", jobs: Jobs) -> Upload:
    """Save and check one source file."""
    if isinstance(source, str):
        shown, content = decode_data_url(source, name)
        return save_upload([content], name, shown, jobs.incoming, jobs.settings)
    pieces = iter(lambda: source.file.read(2**20), b"")
    return save_upload(pieces, name, source.filename or "", jobs.incoming, jobs.settings)


async def _parse_fields(request: Request) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parse the body of a request.

    Returns:
        The fields, and the sources by name, each an `UploadFile` or text that must be a data URL.

    Raises:
        RequestError: neither JSON nor a form, or a field given twice.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "application/json":
        given = await _parse_json(request)
    elif kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
        form = await request.form(max_files=len(SOURCES), max_fields=100)
        given = {}
        for name, value in form.multi_items():
            if name in given:
                raise RequestError(f"{name[:60]}: given more than once", param=name)
            given[name] = value
    else:
        raise RequestError(f"Content-Type {kind[:60] or 'absent'}: expected application/json or multipart/form-data", 415)
    sources = {name: given.pop(name) for name in SOURCES if given.get(name) not in (None, "")}
    fields = {name: value for name, value in given.items() if name not in SOURCES}
    for name, value in fields.items():
        if isinstance(value, UploadFile):
            raise RequestError(f"{name[:60]}: files are accepted as {' or '.join(SOURCES)} only", param=name)
    for name, value in sources.items():
        if not isinstance(value, UploadFile | str):
            raise RequestError(f"{name}: expected a file or a data URL", param=name)
    return fields, sources


async def _parse_json(request: Request) -> dict[str, Any]:
    """Parse a JSON object."""
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > MAX_JSON_BYTES:
        raise RequestError(f"JSON of more than {MAX_JSON_BYTES // 2**20} MiB: send files as multipart/form-data", 413)
    try:
        given = await request.json()
    except (ValueError, RecursionError):
        raise RequestError("the body is not valid JSON") from None
    if not isinstance(given, Mapping):
        raise RequestError("the body is not a JSON object")
    return dict(given)


def _content_schemas() -> dict[str, Any]:
    """The schema of a request as a form and as JSON."""
    schema = VideoRequest.model_json_schema()
    kept = "is kept unchanged; the other stream is generated for it"
    as_file = {name: {"type": "string", "format": "binary", "description": f"a file that {kept}"} for name in SOURCES}
    as_text = {name: {"type": "string", "description": f"a data URL of a file that {kept}"} for name in SOURCES}
    return {
        "multipart/form-data": {"schema": schema | {"properties": schema["properties"] | as_file}},
        "application/json": {"schema": schema | {"properties": schema["properties"] | as_text}},
    }

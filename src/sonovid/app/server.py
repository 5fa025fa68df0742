"""The server: builds the application from jobs, models, workers, API and page, and runs it."""

import contextlib
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

import sonovid
from sonovid.app import api
from sonovid.app.errors import RequestError, error_body
from sonovid.app.guard import Guard
from sonovid.app.jobs import Jobs
from sonovid.app.models import Models
from sonovid.app.settings import Settings
from sonovid.app.worker import Workers


def create_app(settings: Settings, *, page: bool = True) -> Guard:
    """Build the server as an ASGI application.

    Args:
        settings: The server's settings.
        page: Whether Gradio's page is included.

    Raises:
        ValueError: a model that cannot be loaded, or a folder that another server uses.
    """
    jobs = Jobs(settings)
    try:
        models = Models(settings.models, settings.devices, settings.dtype)
        return _assemble(settings, jobs, models, page=page)
    except BaseException:
        jobs.close()
        raise


def _assemble(settings: Settings, jobs: Jobs, models: Models, *, page: bool) -> Guard:
    """The application with API, page and workers."""
    workers = Workers(jobs, models)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        workers.start()
        try:
            yield
        finally:
            workers.stop()
            jobs.close()

    app = FastAPIOffline(
        title="Sonovid",
        version=sonovid.__version__,
        description="Sounding video: joint generation of a video and its sound.",
        redoc_url=None,
        lifespan=lifespan,
    )
    app.include_router(api.router(jobs, models))
    app.get("/health", summary="Status of the server")(lambda: api.health(jobs))
    _add_error_handlers(app)
    if page:
        _mount_page(app, settings, jobs, models)
    return Guard(app, settings)


def _add_error_handlers(app: FastAPI) -> None:
    """Return every error of the API in OpenAI's format, on one line."""

    @app.exception_handler(RequestError)
    async def refused(_: Request, error: RequestError) -> JSONResponse:
        return JSONResponse(error.to_json(), error.status, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        fault = error.errors()[0]
        name = str(fault["loc"][-1])
        return JSONResponse(error_body(f"{name}: {fault['msg'].lower()}", 400, name), 400)

    @app.exception_handler(HTTPException)
    async def other(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse(error_body(str(error.detail), error.status_code), error.status_code, headers=error.headers)


def _mount_page(app: FastAPI, settings: Settings, jobs: Jobs, models: Models) -> None:
    """Mount Gradio's page at /, without requests to other hosts."""
    page_folder = jobs.folder / "page"
    shutil.rmtree(page_folder, ignore_errors=True)
    page_folder.mkdir()
    # Gradio reads the folder of uploads and the telemetry switch from the environment.
    os.environ["GRADIO_TEMP_DIR"] = str(page_folder)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import gradio

    from sonovid.app.page import build, examples, style

    example_files = examples.render(jobs.folder / "examples")
    blocks = build.build(jobs, models, example_files)
    gradio.mount_gradio_app(
        app,
        blocks,
        path="/",
        server_name=settings.host,
        server_port=settings.port,
        footer_links=[],
        run_history=False,
        allowed_paths=[str(example_files.folder)],
        max_file_size=settings.max_upload,
        show_error=False,
        ssr_mode=False,
        mcp_server=False,
        enable_monitoring=False,
        pwa=False,
        theme=style.theme(),
        css=style.CSS,
        head=style.HEAD,
    )


def bind_socket(settings: Settings) -> socket.socket:
    """A socket bound to the server's host and port; port 0: any free one.

    Raises:
        ValueError: the port is in use, or this machine has no such address.
    """
    host = settings.host.strip("[]")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, settings.port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        raise ValueError(f"--host {settings.host} --port {settings.port}: cannot listen there ({error.strerror})") from None
    return listening


# Seconds after which a thread that computes hands the interpreter over. With Python's 5 ms a request waits that long at each of
# its turns beside a generation.
SWITCH_INTERVAL = 5e-4


def serve(app: Guard, listening: socket.socket) -> None:
    """Run until interrupted."""
    import uvicorn

    sys.setswitchinterval(SWITCH_INTERVAL)

    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=5)
    uvicorn.Server(config).run(sockets=[listening])

"""The service: its routes as an app, alone or beside the page."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import uvicorn
from fastapi import Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from ..i18n.messages import tr
from ..web.jobs import Queue
from .forms import FORMS, form_schema
from .gate import Gate, refusal_response
from .models import Health, JobOutput, Presenters, Problem
from .options import ServiceOptions
from .refusal import RefusedError
from .routes import MAX_WAIT_S, Routes
from .storage import Storage

PROBLEMS = {
    400: "The form is not complete.",
    401: "The token is missing or wrong.",
    404: "There is no such job, file or presenter.",
    408: "Nothing more has arrived.",
    413: "A file is too large.",
    415: "The request is no form with files.",
    422: "A field is missing or wrong.",
    429: "The queue is full: try again after Retry-After seconds.",
    503: "The service is ending, or its disk is full.",
}
NEW_JOB_STATUSES = (400, 401, 404, 408, 413, 415, 422, 429, 503)


class Service:
    """The service, ready to answer.

    Args:
        options: how it is run.
        queue: does the work; the page may have it, too.
        storage: of the jobs; None: a new one.

    Attributes:
        app: answers requests.
    """

    def __init__(self, options: ServiceOptions, queue: Queue, storage: Storage | None = None):
        self._options = options
        self._storage = storage or Storage(options.max_jobs, 3600 * options.keep_h)
        version = import_module(__package__.partition(".")[0]).__version__
        self.app = _make_app(Routes(options, self._storage, queue, version), options, version)

    def run(self) -> None:
        """Answer until the process is interrupted."""
        uvicorn.run(
            self.app, host=self._options.host, port=self._options.port, log_level="warning",
            timeout_graceful_shutdown=1, server_header=False,
        )  # fmt: skip

    def close(self) -> None:
        """Delete all files."""
        self._storage.close()


def _make_app(routes: Routes, options: ServiceOptions, version: str) -> ASGIApp:
    needs_token = [Depends(HTTPBearer(auto_error=False))] if options.token else []
    app = FastAPI(
        title="lipsync", version=version, docs_url=None, redoc_url=None,
        description="Scores, corrects and makes talking-head videos. Each request for work answers "
        "at once with a job. The results are those of src/inference.py --json "
        "(docs/result.schema.json).",
    )  # fmt: skip

    def add(method: str, path: str, answer: Callable, summary: str, **more: Any) -> None:
        app.add_api_route(path, answer, methods=[method], summary=summary, **more)

    for kind, form in FORMS.items():
        answer = getattr(routes, kind)
        content = {"multipart/form-data": {"schema": form_schema(form)}}
        add("POST", f"/{kind}", answer, answer.__doc__, operation_id=kind, status_code=202,
            response_model=JobOutput, responses=_problems(*NEW_JOB_STATUSES),
            dependencies=needs_token,
            openapi_extra={"requestBody": {"required": True, "content": content}})  # fmt: skip

    async def job(
        request: Request, id: str,
        wait: float = Query(0, ge=0, description="Answer once the job has ended, or after so many "
                            f"seconds, at most {MAX_WAIT_S}."),
    ):  # fmt: skip
        return await routes.job(request, id, wait)

    async def delete(request: Request, id: str):
        return await routes.delete(request, id)

    def file(id: str, name: str):
        return routes.file(id, name)

    unknown = {"dependencies": needs_token, "responses": _problems(401, 404, 422)}
    add("GET", "/jobs/{id}", job, routes.job.__doc__, response_model=JobOutput, **unknown)
    add("DELETE", "/jobs/{id}", delete, routes.delete.__doc__, response_model=JobOutput,
        dependencies=needs_token,
        responses=_problems(401, 404, 422) | {204: {"description": "It is deleted."}},
        response_description="It was cancelled, and is deleted later.")  # fmt: skip
    binary = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    add("GET", "/jobs/{id}/files/{name}", file, routes.file.__doc__, dependencies=needs_token,
        response_model=None,
        responses=_problems(401, 404, 422) | {200: {"description": "The file.",
                                                    "content": binary}})  # fmt: skip
    add("GET", "/presenters", routes.presenters, routes.presenters.__doc__,
        response_model=Presenters, responses=_problems(401), dependencies=needs_token)  # fmt: skip
    add("GET", "/health", routes.health, routes.health.__doc__, response_model=Health,
        responses=_problems(503))  # fmt: skip
    add("GET", "/", routes.overview, "", include_in_schema=False)
    app.add_exception_handler(RefusedError, _refuse)
    app.add_exception_handler(HTTPException, _refuse_path)
    app.add_exception_handler(RequestValidationError, _refuse_value)
    app.add_exception_handler(Exception, _break_down)
    return Gate(app, options)


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The answers to what is refused, for the OpenAPI document."""
    return {status: {"model": Problem, "description": PROBLEMS[status]} for status in statuses}


async def _refuse(request: Request, error: RefusedError) -> JSONResponse:
    return refusal_response(error)


async def _refuse_path(request: Request, error: HTTPException) -> JSONResponse:
    """There is nothing at a path, or it cannot be done there."""
    if error.status_code == 405:
        text = tr("{method} is not possible here", method=request.method)
    else:
        text = tr("there is nothing here: GET / shows what there is")
    return JSONResponse({"error": text}, error.status_code, error.headers)


async def _refuse_value(request: Request, error: RequestValidationError) -> JSONResponse:
    """A value in the address is none: only ``wait`` has a type."""
    return JSONResponse({"error": tr("wait: must be a number of seconds, 0 or more")}, 422)


async def _break_down(request: Request, error: Exception) -> JSONResponse:
    """Starlette hands the error on, and uvicorn prints it."""
    text = tr("something went wrong that should not; the console of the service has the details")
    return JSONResponse({"error": text}, 500)

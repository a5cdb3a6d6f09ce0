"""What the service answers to each request."""

import asyncio
import mimetypes
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.requests import ClientDisconnect

from ..core.errors import LipSyncError
from ..i18n.messages import tr
from ..pipeline.new_speech import stored_consent
from ..presenter.store import PRESENTER_FILE
from ..web.jobs import FAILED, WAITING, Job, Queue
from ..web.worker import Task
from . import tasks
from .forms import FORMS, read_pair, read_speech
from .options import ServiceOptions
from .overview import overview_page
from .refusal import RefusedError
from .storage import Entry, Storage
from .uploads import Received, receive_form

MAX_WAIT_S = 60  # of one request
POLL_S = 0.1
CANCEL_S = 5.0  # a cancelled job has ended by then


class Routes:
    """The answers.

    Args:
        options: limits, and where presenters are.
        storage: the jobs.
        queue: does them.
        version: of the program.
    """

    def __init__(self, options: ServiceOptions, storage: Storage, queue: Queue, version: str):
        self._options, self._storage, self._queue = options, storage, queue
        self._version = version

    # ------------------------------------------------------------------------ new jobs

    async def score(self, request: Request) -> Response:
        """Score a video against its audio and measure the offset."""
        return await self._accept(request, "score", tasks.score, self._pair_inputs)

    async def correct(self, request: Request) -> Response:
        """Measure the offset and write a video with the audio in sync."""
        return await self._accept(request, "correct", tasks.correct, self._pair_inputs)

    async def present(self, request: Request) -> Response:
        """Re-make the mouth of a presenter for a new speech."""
        if self._options.presenters is None:
            raise RefusedError(404, tr("there are no presenters: start the program with "
                                       "--presenters FOLDER"))  # fmt: skip
        return await self._accept(request, "present", tasks.present, self._speech_inputs)

    async def _accept(
        self, request: Request, kind: str, task: Task, inputs_of: Callable[[Received], dict]
    ) -> Response:
        """Take a form, and put what it asks for into the queue."""
        entry = self._storage.reserve(kind)
        try:
            received = await receive_form(
                request.stream(), request.headers, FORMS[kind], entry.folder, self._options.max_mb
            )
            inputs = inputs_of(received) | {"max_minutes": self._options.max_minutes}
            entry.job = Job(
                task, inputs, entry.outputs, entry.take,
                on_end=lambda: self._storage.note_end(entry),
            )  # fmt: skip
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        finally:
            if entry.job is None:
                self._storage.delete(entry)
        self._queue.add(entry.job)
        location = {"Location": _path_of(request, entry)}
        return JSONResponse(self._job_values(request, entry), 202, location)

    def _pair_inputs(self, received: Received) -> dict:
        return read_pair(received.texts, received.files)

    def _speech_inputs(self, received: Received) -> dict:
        presenter = self._find_presenter(received.texts["presenter"])
        return read_speech(received.texts, received.files) | {"presenter": str(presenter)}

    # ------------------------------------------------------------------------ presenters

    def presenters(self) -> Response:
        """The names of the presenters."""
        return JSONResponse({"presenters": [path.name for path in self._presenter_folders()]})

    def _presenter_folders(self) -> list[Path]:
        folder = self._options.presenters
        return [] if folder is None else sorted(
            path for path in folder.iterdir() if (path / PRESENTER_FILE).is_file()
        )  # fmt: skip

    def _find_presenter(self, name: str) -> Path:
        """The folder of a presenter, whose person has agreed.

        Raises:
            RefusedError: there is none of that name, or nobody confirmed that.
        """
        found = [path for path in self._presenter_folders() if path.name == name]
        if not found:
            raise RefusedError(
                404, tr("there is no presenter {name}: GET /presenters lists them", name=name[:100])
            )
        try:
            consent = stored_consent(found[0])
        except LipSyncError as error:
            raise RefusedError(422, str(error).replace(str(found[0]), name)) from None
        if consent is None:
            raise RefusedError(
                422,
                tr("nobody confirmed that the person of {name} agreed: confirm it with "
                   "src/learn_presenter.py --consent", name=name),
            )  # fmt: skip
        return found[0]

    # ------------------------------------------------------------------------ jobs

    async def job(self, request: Request, name: str, wait: float) -> Response:
        """A job: its state, and its result once it is done."""
        entry = self._storage.find(name)
        until = time.monotonic() + min(wait, MAX_WAIT_S)
        while entry.job.is_busy and time.monotonic() < until:
            if await request.is_disconnected():
                break
            await asyncio.sleep(POLL_S)
        return JSONResponse(self._job_values(request, entry))

    async def delete(self, request: Request, name: str) -> Response:
        """Cancel a job that is not done, or delete one that has ended, with its files."""
        entry = self._storage.find(name)
        if not entry.job.is_busy:
            self._storage.delete(entry)
            return Response(status_code=204)
        self._queue.cancel(entry.job)
        until = time.monotonic() + CANCEL_S
        while entry.job.is_busy and time.monotonic() < until:
            await asyncio.sleep(POLL_S)
        return JSONResponse(self._job_values(request, entry))

    def file(self, name: str, file: str) -> Response:
        """A file that a job has written."""
        path = self._storage.find(name).files.get(file)
        if path is None or not path.is_file():
            raise RefusedError(404, tr("this job has no file of that name"))
        media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return FileResponse(path, media_type=media_type, filename=path.name)

    def _job_values(self, request: Request, entry: Entry) -> dict:
        """A job as ``models.JobOutput`` says."""
        job, path = entry.job, _path_of(request, entry)
        is_done = not job.is_busy
        left_s = None if is_done else job.left_s
        return {
            "id": entry.id,
            "kind": entry.kind,
            "state": job.state,
            "before": self._queue.n_before(job) if job.state == WAITING else 0,
            "stage": "" if is_done else job.stage,
            "share": None if is_done else job.share,
            "left_s": None if left_s is None else round(left_s, 1),
            "error": job.text if job.state == FAILED else None,
            "result": entry.result,
            "created_at": _time_text(entry.created_at),
            "expires_at": _time_text(self._storage.expires_at(entry)),
            "links": {
                "self": path,
                "files": [
                    {"name": file.name, "bytes": file.stat().st_size,
                     "url": f"{path}/files/{quote(file.name)}"}
                    for file in entry.files.values() if file.is_file()
                ],
            },
        }  # fmt: skip

    # ------------------------------------------------------------------------ the service itself

    def health(self) -> Response:
        """Whether the service does jobs."""
        if not self._queue.is_working:
            raise RefusedError(503, tr("the service is ending: try again later"))
        return JSONResponse({"status": "ok", "version": self._version})

    def overview(self, request: Request) -> Response:
        """A page about the service, for people."""
        return HTMLResponse(overview_page(str(request.base_url).rstrip("/"), self._options))


def _path_of(request: Request, entry: Entry) -> str:
    return f"{request.scope.get('root_path', '')}/jobs/{entry.id}"


def _time_text(seconds: float | None) -> str | None:
    """UTC, ISO 8601."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")

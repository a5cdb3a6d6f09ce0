"""The server of the page: who may ask for what, and one Gradio app a language."""

import asyncio
import hmac
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path

import gradio as gr
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from ..i18n.messages import available_languages, tr, use_language
from ..pipeline.engine import EngineSpec
from .access import HEADERS, LOCAL_HOSTS, Prefixed, is_foreign, preferred_language
from .batch_tab import build_batch_tab
from .check_tab import build_check_tab
from .jobs import Queue
from .live import MAX_MESSAGE_BYTES, POLICY_VIOLATION, LiveStreams
from .live_tab import build_live_tab
from .page_head import scripts_of, with_head
from .speech_tab import build_speech_tab
from .tab import COOKIE, Page
from .training_tab import build_training_tab
from .visitors import Visitor, Visitors
from .worker import Worker

STATIC = Path(__file__).with_name("static")
SCRIPTS = ("page.js", "live.js", "live_audio.js")
LANGUAGE_COOKIE = "lipsync_language"
LANGUAGE_NAMES = {"en": "English", "zh_CN": "中文"}
WRONG_PASSWORD_S = 1.0  # so long a wrong password takes
# What a page of Gradio asks for; all else that it would answer is closed.
OPEN_PATHS = (
    "config", "theme.css", "assets/", "static/", "svelte/", "favicon.ico", "manifest.json",
    "gradio_api/info", "gradio_api/app_id", "gradio_api/startup-events", "gradio_api/heartbeat/",
    "gradio_api/queue/join", "gradio_api/queue/data", "gradio_api/cancel", "gradio_api/reset",
    "gradio_api/upload", "gradio_api/upload_progress", "gradio_api/theme.css",
)  # fmt: skip
SHOWN_SUFFIXES = (".mp4", ".jpg")  # all else is only saved
UPLOAD_PATH = "gradio_api/upload"
FILE_PATH = "gradio_api/file="
PAGE_HEADERS = (
    *HEADERS,
    # Nothing is loaded from another host, whatever a library asks for.
    (b"content-security-policy",
     b"default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; frame-ancestors 'self'"),
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """How the page is run.

    Attributes:
        host, port: where it listens.
        password: None: none is asked for.
        max_mb: largest file.
        max_minutes: longest video.
    """

    host: str = LOCAL_HOSTS[0]
    port: int = 7860
    password: str | None = None
    max_mb: float = 2000.0
    max_minutes: float = 60.0


class Server:
    """The page, ready to run.

    Args:
        spec: the model that scores.
        options: where it listens, and for whom.
    """

    def __init__(self, spec: EngineSpec, options: Options):
        self.options = options
        self.visitors = Visitors()
        os.environ["GRADIO_TEMP_DIR"] = str(self.visitors.uploads)
        self.queue = Queue(lambda: Worker(spec), is_eager=True)
        self.trainings = Queue(lambda: Worker(spec, is_preloaded=False))
        self.live = LiveStreams(spec)
        self.app = self._make_app()

    def mount(self, prefix: str, app: ASGIApp) -> None:
        """Have everything below a path answered by another app, which says itself who may ask."""
        self.app = Prefixed(prefix, app, self.app)

    def run(self) -> None:
        """Answer until the process is interrupted; then everything is deleted."""
        try:
            uvicorn.run(
                self.app, host=self.options.host, port=self.options.port, log_level="warning",
                timeout_graceful_shutdown=1, ws_max_size=MAX_MESSAGE_BYTES,
                ws_per_message_deflate=False,
            )  # fmt: skip
        finally:
            self.close()

    def close(self) -> None:
        """End all work, and delete all files."""
        self.live.close()
        self.queue.close()
        self.trainings.close()
        self.visitors.close()

    def _make_app(self) -> ASGIApp:
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        app.get("/")(self._choose_language)
        app.get("/media/{handle}")(self._media)
        for name in SCRIPTS:
            app.get(f"/{name}")(_sender_of(STATIC / name))
        app.websocket("/live")(self._live)
        app.get("/login")(self._login_page)
        app.post("/login")(self._login)
        for language in available_languages():
            self._mount(app, language)
        return Gate(app, self.visitors, self.options)

    def _mount(self, app: FastAPI, language: str) -> None:
        page = Page(self.visitors, self.queue, self.trainings, language, self.options.max_minutes)
        with use_language(language):
            blocks = _build_page(page)
            gr.mount_gradio_app(
                app, blocks, f"/{language}", footer_links=[], run_history=False,
                allowed_paths=[], show_error=False, max_file_size=int(self.options.max_mb * 1e6),
                ssr_mode=False, pwa=False, theme=_theme(), css_paths=STATIC / "page.css",
            )  # fmt: skip

    def _choose_language(self, request: Request) -> RedirectResponse:
        wanted = request.cookies.get(LANGUAGE_COOKIE) or request.headers.get("accept-language", "")
        return RedirectResponse(f"/{preferred_language(wanted)}/", headers={"Vary": "*"})

    async def _live(self, websocket: WebSocket) -> None:
        await self.live.serve(websocket)

    def _media(self, handle: str, request: Request) -> Response:
        visitor: Visitor = request.scope["visitor"]
        path = visitor.shown_file(handle)
        if path is None:
            return Response(status_code=404)
        kind = "attachment" if "download" in request.query_params else "inline"
        # A page among the files is only to be saved: shown, it would act as this one.
        media_type = None if path.suffix in SHOWN_SUFFIXES else "application/octet-stream"
        if path.suffix in (".mov", ".m4v"):
            media_type = "video/mp4"
        if media_type == "application/octet-stream":
            kind = "attachment"
        return FileResponse(
            path, filename=path.name, media_type=media_type, content_disposition_type=kind,
            headers={"Cache-Control": "no-store"},
        )  # fmt: skip

    def _login_page(self, request: Request) -> HTMLResponse:
        return self._login_form(request, "")

    def _login_form(self, request: Request, text: str) -> HTMLResponse:
        language = preferred_language(request.headers.get("accept-language", ""))
        with use_language(language):
            title, label, button = "lipsync", tr("Password"), tr("Log in")
        page = (
            f'<!doctype html><html lang="{language.replace("_", "-")}"><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width"><meta name="color-scheme" '
            f'content="light dark"><title>{title}</title><body style="font: 18px system-ui; '
            'max-width: 22rem; margin: 15vh auto; padding: 1rem"><h1>lipsync</h1>'
            f'<form method="post"><p><label>{escape(label)} <input type="password" '
            'name="password" autocomplete="current-password" autofocus></label></p>'
            f'<p role="alert">{escape(text)}</p><button>{escape(button)}</button></form>'
        )
        return HTMLResponse(page, 401 if text else 200)

    async def _login(self, request: Request) -> Response:
        form = await request.form()
        given, wanted = str(form.get("password", "")), self.options.password or ""
        if hmac.compare_digest(given.encode(), wanted.encode()):
            request.scope["visitor"].is_admitted = True
            return RedirectResponse("/", 303)
        await asyncio.sleep(WRONG_PASSWORD_S)
        with use_language(preferred_language(request.headers.get("accept-language", ""))):
            return self._login_form(request, tr("Wrong password."))


class Gate:
    """Lets each visitor ask for what is theirs, and for nothing else.

    Args:
        app: what answers.
        visitors: everyone.
        options: whether there is a password, and where it listens.
    """

    def __init__(self, app: ASGIApp, visitors: Visitors, options: Options):
        self._app, self._visitors, self._options = app, visitors, options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request = HTTPConnection(scope)
        visitor = self._visitors.find(request.cookies.get(COOKIE))
        is_new = visitor is None
        if visitor is None:
            if scope["type"] == "websocket":  # a page that is open has a visitor
                await _refuse_websocket(receive, send)
                return
            visitor = self._visitors.add()
        scope["visitor"] = visitor
        refused = self._refusal(scope, visitor)
        if refused is not None:
            await _answer(scope, receive, self._headed(send, visitor, is_new), refused)
            return
        send, inner = self._headed(send, visitor, is_new), _inner_path(scope["path"])
        if inner == UPLOAD_PATH:
            send = _noting_uploads(send, visitor)
        elif inner == "" and scope["type"] == "http":
            send = with_head(send, scripts_of(scope["path"].strip("/")))
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope, visitor: Visitor) -> Response | None:
        """The answer to what is not allowed; None: it is."""
        if is_foreign(scope, self._options.host):
            return Response(status_code=403)
        is_safe = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
        # No browser opens a websocket without saying for which page.
        if scope["type"] == "websocket" and "origin" not in HTTPConnection(scope).headers:
            return Response(status_code=403)
        path = scope["path"]
        if self._options.password and not visitor.is_admitted and path != "/login":
            return RedirectResponse("/login", 303) if is_safe else Response(status_code=401)
        inner = _inner_path(path)
        if inner is None or inner == "" or inner.startswith(OPEN_PATHS):
            return None
        if inner.startswith(FILE_PATH) and visitor.owns_upload(inner.removeprefix(FILE_PATH)):
            return None
        return Response(status_code=404)

    def _headed(self, send: Send, visitor: Visitor, is_new: bool) -> Send:
        cookie = f"{COOKIE}={visitor.name}; Path=/; HttpOnly; SameSite=Lax"

        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), *PAGE_HEADERS]
                if is_new:
                    headers.append((b"set-cookie", cookie.encode()))
                message = {**message, "headers": headers}
            await send(message)

        return headed


def _sender_of(path: Path) -> Callable[[], FileResponse]:
    def send() -> FileResponse:
        return FileResponse(path)

    return send


async def _answer(scope: Scope, receive: Receive, send: Send, response: Response) -> None:
    if scope["type"] == "websocket":
        await _refuse_websocket(receive, send)
    else:
        await response(scope, receive, send)


async def _refuse_websocket(receive: Receive, send: Send) -> None:
    await receive()  # that it be opened
    await send({"type": "websocket.close", "code": POLICY_VIOLATION})


def _noting_uploads(send: Send, visitor: Visitor) -> Send:
    """Take note of whose the files are that an upload has stored."""
    body = bytearray()

    async def noting(message: Message) -> None:
        if message["type"] == "http.response.body":
            body.extend(message.get("body", b""))
            if not message.get("more_body"):
                _note_uploads(bytes(body), visitor)
        await send(message)

    return noting


def _note_uploads(body: bytes, visitor: Visitor) -> None:
    try:
        paths = json.loads(body)
    except ValueError:
        return  # it was refused
    if isinstance(paths, list):
        for path in paths:
            visitor.note_upload(path)
        visitor.touch()


def _inner_path(path: str) -> str | None:
    """The path inside the app of a language; None: outside of them."""
    first, _, rest = path.lstrip("/").partition("/")
    return rest if first in available_languages() else None


def _build_page(page: Page) -> gr.Blocks:
    with gr.Blocks(title="lipsync", analytics_enabled=False) as blocks:
        gr.HTML(_heading(page.language))
        with gr.Tab(tr("Check and correct"), elem_id="ls-check-and-correct", id="check"):
            build_check_tab(page, blocks)
        with gr.Tab(tr("New speech"), elem_id="ls-new-speech", id="new-speech"):
            build_speech_tab(page, blocks)
        with gr.Tab(tr("Batch"), elem_id="ls-batch", id="batch"):
            build_batch_tab(page, blocks)
        with gr.Tab(tr("Training"), elem_id="ls-training", id="training"):
            build_training_tab(page, blocks)
        with gr.Tab(tr("Live"), elem_id="ls-live", id="live"):
            build_live_tab(page)
    return blocks


def _heading(language: str) -> str:
    links = " · ".join(
        f'<a href="/{other}/" lang="{other.replace("_", "-")}">'
        f"{escape(LANGUAGE_NAMES.get(other, other))}</a>"
        for other in available_languages() if other != language
    )  # fmt: skip
    about = tr("Does the audio fit the lips? Everything stays on this computer.")
    return (
        f'<header class="ls-top"><h1>lipsync</h1><p>{escape(about)}</p><nav>{links}</nav></header>'
    )


def _theme() -> gr.themes.Base:
    """Gradio's theme with the fonts of the system, as its own are loaded from another host, and
    with colours on which white and grey text can be read."""
    fonts = ["system-ui", "-apple-system", "Segoe UI", "Noto Sans CJK SC", "sans-serif"]
    theme = gr.themes.Default(
        primary_hue="blue", font=fonts, font_mono=["ui-monospace", "monospace"]
    )
    colours = {
        "button_primary_background_fill": "#2563a8",
        "button_primary_background_fill_hover": "#1f548f",
        "button_cancel_background_fill": "#b3372f",
        "button_cancel_background_fill_hover": "#9a2f28",
        "button_cancel_text_color": "white",
        "body_text_color_subdued": "*neutral_500",
        "block_label_text_color": "*neutral_600",
    }
    dark = {"body_text_color_subdued": "*neutral_400", "block_label_text_color": "*neutral_200"}
    return theme.set(
        **colours, **{f"{name}_dark": dark.get(name, colour) for name, colour in colours.items()}
    )

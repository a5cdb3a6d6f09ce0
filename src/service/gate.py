"""Who may ask the service, and in which language it answers."""

import asyncio
import hmac

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..i18n.messages import tr, use_language
from ..web.access import HEADERS, is_foreign, preferred_language
from .options import ServiceOptions
from .refusal import RefusedError
from .uploads import STOP

WRONG_TOKEN_S = 1.0  # so long a wrong token takes
OPEN_PATHS = ("", "/", "/health", "/openapi.json")  # they say nothing about anybody
SERVICE_HEADERS = (
    *HEADERS,
    (b"cache-control", b"no-store"),
    # The page of the service needs nothing but itself; a report that is opened must not act as it.
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; "
     b"frame-ancestors 'none'; sandbox allow-downloads allow-popups"),
)  # fmt: skip


class Gate:
    """Lets requests through that bring the token, and none that another site sends.

    Args:
        app: what answers.
        options: the token, and where it listens.
    """

    def __init__(self, app: ASGIApp, options: ServiceOptions):
        self._app, self._options = app, options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        send = _headed(send)
        with use_language(preferred_language(request.headers.get("accept-language", ""))):
            try:
                await self._check(request)
            except RefusedError as error:
                await refusal_response(error)(scope, receive, send)
                return
            await self._app(scope, receive, send)

    async def _check(self, request: Request) -> None:
        """Raise RefusedError where this is not allowed."""
        if is_foreign(request.scope, self._options.host):
            text = tr("this request comes by another name or from another site: use http://"
                      "127.0.0.1, or start the service with --host and --token")  # fmt: skip
            raise RefusedError(403, text, STOP)
        path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
        if self._options.token is None or (request.method == "GET" and path in OPEN_PATHS):
            return
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not given:
            text = tr("a token is required: -H 'Authorization: Bearer TOKEN'")
        elif hmac.compare_digest(given.strip().encode(), self._options.token.encode()):
            return
        else:
            await asyncio.sleep(WRONG_TOKEN_S)
            text = tr("the token is wrong")
        raise RefusedError(401, text, {"WWW-Authenticate": "Bearer", **STOP})


def refusal_response(error: RefusedError) -> JSONResponse:
    """The answer to a request that is refused."""
    return JSONResponse({"error": str(error)}, error.status, error.headers)


def _headed(send: Send) -> Send:
    async def headed(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *SERVICE_HEADERS]}
        await send(message)

    return headed

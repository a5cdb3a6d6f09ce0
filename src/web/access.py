"""What the servers of this program share: where they listen, and whom they refuse."""

import socket
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from ..core.errors import ConfigError
from ..i18n.messages import match_language, tr

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"referrer-policy", b"same-origin"),
)


def check_port(host: str, port: int) -> None:
    """Raise ConfigError where nothing can listen."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
    except OSError as error:
        raise ConfigError(
            tr("cannot listen on {host}, port {port}: {why}; choose another with --port",
               host=host, port=port, why=error.strerror or error)
        ) from None  # fmt: skip


def is_foreign(scope: Scope, listens_at: str) -> bool:
    """Whether another site is behind a request: by its own name for this computer's address, or by
    a form or script that changes something.

    Args:
        listens_at: the host on which the server listens.
    """
    headers = HTTPConnection(scope).headers
    host, origin = headers.get("host", ""), headers.get("origin")
    is_safe = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
    try:
        if listens_at in LOCAL_HOSTS and urlsplit(f"//{host}").hostname not in LOCAL_HOSTS:
            return True
        return not is_safe and origin is not None and urlsplit(origin).netloc != host
    except ValueError:  # no names, such as "[::1"
        return True


def preferred_language(header: str) -> str:
    """The language for an ``Accept-Language`` header, such as ``zh-CN,zh;q=0.9,en;q=0.8``."""
    weighted = []
    for part in header.split(","):
        tag, _, weight = part.strip().partition(";q=")
        try:
            weighted.append((float(weight or 1), tag))
        except ValueError:
            continue
    weighted.sort(key=lambda pair: -pair[0])
    return match_language(*(tag for _, tag in weighted if tag not in ("", "*")))


class Prefixed:
    """Two apps as one: all below a path is answered by the one, everything else by the other.

    Args:
        prefix: the path, such as ``/api``.
        inner: answers below it; it sees who asks as if it were alone.
        outer: answers everything else.
    """

    def __init__(self, prefix: str, inner: ASGIApp, outer: ASGIApp):
        self._prefix, self._inner, self._outer = prefix, inner, outer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if path == self._prefix or path.startswith(self._prefix + "/"):
            scope = {**scope, "root_path": scope.get("root_path", "") + self._prefix}
            await self._inner(scope, receive, send)
        else:
            await self._outer(scope, receive, send)

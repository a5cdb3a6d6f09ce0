"""Forms as they arrive: files go to disk piece by piece, and stop where they are too large."""

import asyncio
import errno
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool

from ..i18n.messages import tr
from ..web.visitors import free_name
from .forms import Field, find_field
from .refusal import RefusedError

IDLE_S = 60  # a client that sends nothing for so long is given up
MAX_TEXT_BYTES = 100_000
MAX_HEADER_BYTES = 4_000
FORM_OVERHEAD_BYTES = 1_000_000  # of a request beside its files
# What a client gets wrong is not the console's concern.
logging.getLogger("python_multipart").addHandler(logging.NullHandler())
STOP = {"Connection": "close"}  # what else the client sends is not read


@dataclass
class Received:
    """A form that has arrived.

    Attributes:
        texts: by field, with defaults.
        files: by field, in the folder.
    """

    texts: dict[str, str] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)


async def receive_form(
    stream: AsyncIterator[bytes],
    headers: dict[str, str],
    form: tuple[Field, ...],
    folder: Path,
    max_mb: float,
) -> Received:
    """Store the form of a request.

    Args:
        stream: the body of the request.
        headers: of the request, with lower-case names.
        form: which fields it may have.
        folder: for its files, under names that are safe everywhere.
        max_mb: largest file, 10⁶ bytes.

    Raises:
        RefusedError: it is no such form, a file is too large, the disk is full, or nothing comes
            any more.
        starlette.requests.ClientDisconnect: the client has gone.
    """
    kind, options = parse_options_header(headers.get("content-type"))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise RefusedError(
            415, tr("send a form with files (multipart/form-data), as curl -F does"), STOP
        )
    size = headers.get("content-length", "")
    n_files = sum(entry.is_file for entry in form)
    if size.isdecimal() and int(size) > n_files * max_mb * 1e6 + FORM_OVERHEAD_BYTES:
        raise too_large(max_mb)
    writer = _FormWriter(form, folder, max_mb)
    try:
        parser = MultipartParser(boundary, writer.callbacks)
        chunks = aiter(stream)
        with suppress(StopAsyncIteration):
            while True:
                chunk = await asyncio.wait_for(anext(chunks), IDLE_S)
                if chunk:
                    await run_in_threadpool(parser.write, chunk)
        parser.finalize()
        if not writer.is_complete:
            raise FormParserError("it ends early")
    except asyncio.TimeoutError:
        raise RefusedError(408, tr("nothing more has arrived: send the form again"), STOP) from None
    except FormParserError:
        text = tr("this is no complete form: send it as curl -F does")
        raise RefusedError(400, text, STOP) from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        text = tr("the service has no room on its disk: try again later")
        raise RefusedError(503, text, STOP) from None
    finally:
        writer.close()
    return writer.result()


def too_large(max_mb: float) -> RefusedError:
    """The answer to a file that is too large."""
    return RefusedError(
        413,
        tr("the file is larger than {n:g} MB: cut it into parts, or start the program with a "
           "larger --max-size", n=max_mb),
        STOP,
    )  # fmt: skip


class _FormWriter:
    """Takes the parts of a form from a parser, and stores them."""

    def __init__(self, form: tuple[Field, ...], folder: Path, max_mb: float):
        self._form, self._folder, self._max_mb = form, folder, max_mb
        self._received = Received()
        self._header_name = self._header_value = b""
        self._disposition = b""
        self._field: Field | None = None
        self._text = bytearray()
        self._file: BinaryIO | None = None
        self._n_bytes = 0
        self.is_complete = False
        self.callbacks = {
            "on_part_begin": self._begin, "on_header_field": self._take_name,
            "on_header_value": self._take_value, "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers, "on_part_data": self._take_data,
            "on_part_end": self._end_part, "on_end": self._end,
        }  # fmt: skip

    def close(self) -> None:
        """Close the file that is being written."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def result(self) -> Received:
        """The form, with defaults. Raises RefusedError: a field is missing."""
        for entry in self._form:
            found = self._received.files if entry.is_file else self._received.texts
            if entry.name in found:
                continue
            if entry.is_required:
                raise RefusedError(422, tr("the field {name} is missing", name=entry.name))
            if entry.default is not None:
                self._received.texts[entry.name] = entry.default
        return self._received

    def _begin(self) -> None:
        self._disposition = self._header_name = self._header_value = b""
        self._field, self._n_bytes = None, 0
        self._text.clear()

    def _take_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]
        self._check_header(self._header_name)

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]
        self._check_header(self._header_value)

    @staticmethod
    def _check_header(content: bytes) -> None:
        if len(content) > MAX_HEADER_BYTES:
            raise FormParserError("a header that is too long")

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name = self._header_value = b""

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise FormParserError("a part without a name")
        name = _decoded(options[b"name"])
        is_file = b"filename" in options
        self._field = find_field(self._form, name, is_file)
        known = self._received.files if is_file else self._received.texts
        if name in known:
            raise RefusedError(422, tr("the field {name} is there twice", name=name), STOP)
        if is_file:
            path = self._folder / free_name(self._folder, _decoded(options[b"filename"]))
            self._received.files[name] = path
            self._file = open(path, "xb")  # noqa: SIM115 (closed by ``_end_part`` or ``close``)

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        self._n_bytes += end - start
        if self._file is None:
            if self._n_bytes > MAX_TEXT_BYTES:
                text = tr("{name} is too long: at most {n} bytes",
                          name=self._field.name, n=MAX_TEXT_BYTES)  # fmt: skip
                raise RefusedError(413, text, STOP)
            self._text += data[start:end]
            return
        if self._n_bytes > self._max_mb * 1e6:
            raise too_large(self._max_mb)
        self._file.write(memoryview(data)[start:end])

    def _end_part(self) -> None:
        if self._file is not None:
            self.close()
            if not self._n_bytes:
                raise RefusedError(422, tr("{name}: the file is empty", name=self._field.name))
            return
        self._received.texts[self._field.name] = self._field.check(_decoded(bytes(self._text)))

    def _end(self) -> None:
        self.is_complete = True


def _decoded(content: bytes) -> str:
    """Names and texts are UTF-8; what is not is read byte by byte."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")

"""What stands at the head of a page of Gradio, before its own scripts: these look at the language
before they add what ``mount_gradio_app`` is given as ``head``."""

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Send

HEAD = b"<head>"


def scripts_of(language: str) -> str:
    """The scripts of the page in a language, as HTML."""
    tag = language.replace("_", "-")
    return f'<script src="/page.js" data-language="{tag}"></script><script src="/live.js"></script>'


def with_head(send: Send, content: str) -> Send:
    """Put HTML at the head of a page that is sent."""
    start, body = None, bytearray()

    async def sending(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            start = message  # its length follows from the content
            return
        if message["type"] != "http.response.body":
            await send(message)
            return
        body.extend(message.get("body", b""))
        if message.get("more_body"):
            return
        page = bytes(body).replace(HEAD, HEAD + content.encode(), 1)
        headers = MutableHeaders(raw=start["headers"])
        if "content-length" in headers and body:  # no body: only the headers were asked for
            headers["content-length"] = str(len(page))
        await send(start)
        await send(message | {"body": page})

    return sending

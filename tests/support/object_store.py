"""An S3 server on this machine, of which every tenth request fails."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import Request, urlopen

FAILING = 10
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1",
}  # fmt: skip


REFUSAL = "<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}: no</Message></Error>"


class Unreliable:
    """A WSGI application whose every tenth answer is that it is busy.

    Attributes:
        refusal: (status, S3's code) of the answer to each request that would write; None: they are
            done.
    """

    refusal: tuple[str, str] | None = None

    def __init__(self, application):
        self._application, self._lock = application, threading.Lock()
        self.n_requests = self.n_failed = 0

    def __call__(self, environment, start_response):
        with self._lock:
            self.n_requests += 1
            is_failing = self.n_requests % FAILING == 0
            self.n_failed += is_failing
        if self.refusal and environment["REQUEST_METHOD"] in ("PUT", "POST"):
            status, code = self.refusal
            body = REFUSAL.format(code=code).encode()
            start_response(status, [("Content-Type", "application/xml"),
                                    ("Content-Length", str(len(body)))])  # fmt: skip
            return [body]
        if is_failing:
            start_response("503 Slow Down", [("Content-Length", "0")])
            return [b""]
        return self._application(environment, start_response)


@contextmanager
def object_store(bucket: str) -> Iterator[tuple[str, Unreliable]]:
    """The address of a server with a bucket, and its application."""
    import s3fs
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    application = Unreliable(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    try:
        # What an earlier server of this process held, and connections to it.
        urlopen(Request(f"{address}/moto-api/reset", method="POST")).close()
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem(key="test", secret="test", client_kwargs={"endpoint_url": address}).mkdir(
            bucket
        )
        yield address, application
    finally:
        server.shutdown()
        thread.join()

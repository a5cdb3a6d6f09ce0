"""What a request is answered that cannot be done: a status and one sentence."""

from ..core.errors import LipSyncError


class RefusedError(LipSyncError):
    """A request that is refused; the text says why, in the language of the request.

    Attributes:
        status: of HTTP.
        headers: of the answer.
    """

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None):
        super().__init__(text)
        self.status, self.headers = status, headers or {}

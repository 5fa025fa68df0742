"""Errors of requests: a one-line message, an HTTP status, and the body in OpenAI's format."""

from typing import Any


class RequestError(ValueError):
    """A rejected request.

    Args:
        message: One line.
        status: The HTTP status.
        param: The field at fault.
        retry_after: Seconds until a retry is sensible, with status 429.
    """

    def __init__(self, message: str, status: int = 400, *, param: str | None = None, retry_after: int | None = None):
        super().__init__(message)
        self.status, self.param, self.retry_after = status, param, retry_after

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the response."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}

    def to_json(self) -> dict[str, Any]:
        """The body of the response, in OpenAI's format."""
        return error_body(one_line(self), self.status, self.param)


ERROR_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


def error_body(message: str, status: int, param: str | None = None) -> dict[str, Any]:
    """An error in OpenAI's format."""
    kind = ERROR_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": status}}


def one_line(error: BaseException) -> str:
    """An error's message on one line. Unexpected exception types are named."""
    line = " ".join(str(error).split()) or type(error).__name__
    return line if isinstance(error, ValueError | OSError) else f"unexpected {type(error).__name__}: {line}"

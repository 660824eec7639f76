"""Errors: what went wrong, as a status and a message with the accepted forms."""


class ApiError(Exception):
    """An answer that is an error: `{"code": …, "message": …}`."""

    def __init__(self, code: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.headers = code, message, headers or {}

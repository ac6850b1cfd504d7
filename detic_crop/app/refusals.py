"""What an API answers instead of a result: a status, a code that stays, and one line."""

from __future__ import annotations


class RefusedError(Exception):
    """A request that cannot be answered as asked.

    Args:
        status: status of HTTP.
        code: the cause in snake_case; it stays when the wording changes.
        message: expected, got, what to do next.
        retry_after: seconds after which it is worth trying again; 0: it is not said.
    """

    def __init__(self, status: int, code: str, message: str, retry_after: int = 0) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after

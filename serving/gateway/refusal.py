"""What the gateway answers instead of vLLM."""

from __future__ import annotations


class Refusal(Exception):
    """A request that is answered without vLLM."""

    def __init__(self, status: int, message: str, code: str, *, headers: dict[str, str] | None = None) -> None:
        self.status, self.message, self.code, self.headers = status, message, code, headers or {}
        super().__init__(message)

    def body(self) -> dict[str, object]:
        """The error in OpenAI's form."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        return {"error": {"message": self.message, "type": kind, "param": None, "code": self.code}}

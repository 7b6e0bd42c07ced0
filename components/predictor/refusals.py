"""What the server says no to: an HTTP status and one sentence that names the row and the column."""

CAUSES = {
    404: "not_found",
    405: "method",
    408: "timeout",
    413: "too_large",
    415: "media_type",
    422: "invalid",
    501: "not_offered",
    503: "overloaded",
    504: "timeout",
}


class Refusal(Exception):
    """A request that is not answered, and why.

    Attributes:
        status: the HTTP status, 400 to 499, 501 or 503.
        message: what came, what was expected and what to do; never a stack trace.
        cause: one stable word for metrics and logs.
    """

    def __init__(self, message: str, status: int = 400, cause: str = "") -> None:
        """Refuse with a message; without a cause, the status stands for one."""
        super().__init__(message)
        self.message = message
        self.status = status
        self.cause = cause or CAUSES.get(status, "bad_request")


MAX_SHOWN = 60


def shown(value: object) -> str:
    """A value from a request as it is quoted in a message: typed, short and without line breaks."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, (int, float)):
        return f"the number {value!r:.{MAX_SHOWN}}"
    if isinstance(value, str):
        cut = value if len(value) <= MAX_SHOWN else value[: MAX_SHOWN - 3] + "..."
        return f"the text {cut!r}"
    if isinstance(value, dict):
        return "an object"
    return f"a list of {len(value)}" if isinstance(value, list) else type(value).__name__


def listed(names: list[str], limit: int = 10) -> str:
    """Column names as they stand in a message, the first ten of them."""
    text = ", ".join(f"'{name[:MAX_SHOWN]}'" for name in names[:limit])
    return text if len(names) <= limit else f"{text} and {len(names) - limit} more"

"""What a person or a client generator reads: the OpenAPI document, and the page if there is one."""

from collections.abc import Callable
from importlib.resources import files

import orjson

from shipway.components.predictor.bodies import Receive, Scope, Send
from shipway.components.predictor.engine import Engine
from shipway.components.predictor.openapi import document

CSP = (
    b"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    b"connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)


class Documents:
    """Answers `/openapi.json` and `/`; hands the rest to the application behind it."""

    def __init__(self, app: Callable[..., object], engine: Engine, page: bool) -> None:
        """Stand in front of an application.

        Args:
            app: what answers everything else.
            engine: the model.
            page: whether `/` is a page to try a row by hand.
        """
        self._app = app
        self._engine = engine
        self._page = page
        self._made: dict[str, tuple[bytes, bytes]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        read = scope.get("method") in ("GET", "HEAD")
        made = self._document(scope["path"]) if read and scope["type"] == "http" else None
        if made is None:
            await self._app(scope, receive, send)  # type: ignore[misc]
            return
        media, content = made
        headers = [
            (b"content-type", media),
            (b"content-length", b"%d" % len(content)),
            (b"content-security-policy", CSP),
            (b"x-content-type-options", b"nosniff"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def _document(self, path: str) -> tuple[bytes, bytes] | None:
        if path not in self._made:
            if path == "/openapi.json":
                self._made[path] = b"application/json", orjson.dumps(document(self._engine))
            elif path == "/" and self._page:
                self._made[path] = b"text/html; charset=utf-8", page(self._engine)
        return self._made.get(path)


def page(engine: Engine) -> bytes:
    """The page to try a row by hand: HTML that needs nothing else."""
    columns = [
        {"name": column.name, "dtype": column.dtype, "kind": column.kind}
        | {"nullable": column.nullable}
        | column.details
        for column in engine.schema.columns
    ]
    model = {
        "name": engine.name,
        "version": engine.version,
        "digest": engine.digest,
        "task": engine.task,
        "label": engine.plan.label,
        "threshold": engine.threshold,
        "columns": columns,
        "example": engine.example,
    }
    template = files("shipway.components.predictor").joinpath("page.html").read_bytes()
    # In a script element, '<' could end it.
    return template.replace(b'"MODEL"', orjson.dumps(model).replace(b"<", b"\\u003c"))

"""How many requests the desk answers, how, and how long they take. Probes and static files are nobody's waiting."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agents.desk.guard import PROBES
from agents.metrics import Metrics


class Measure:
    """ASGI middleware, the outermost of ours."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._seconds = metrics["desk_request_seconds"].observe
        self._answered = metrics["desk_requests_total"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES or scope["path"].startswith("/static/"):
            return await self._app(scope, receive, send)
        begun, status = time.perf_counter(), 500        # what fails before its answer begins is answered for it

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            self._seconds(time.perf_counter() - begun)
            self._answered.labels(f"{min(5, max(2, status // 100))}xx").inc()

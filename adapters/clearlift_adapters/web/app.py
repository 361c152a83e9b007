"""The served pages: routes, headers, and what becomes of what cannot be answered.

What a page shows comes through `Views`; nothing here knows of a database. No page sets a cookie,
and none may be kept, framed or sniffed.
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final, Protocol

import msgspec
from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clearlift_adapters.logs import scrubbed
from clearlift_adapters.web.door import TICK, Door
from clearlift_adapters.web.facts import Facts, Life
from clearlift_adapters.web.page import (
    content_security_policy,
    life_page,
    message_page,
    report_page,
)
from clearlift_engine.errors import CronWorkerError

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SENTENCE_MAX: Final = 500


class TickAnswer(msgspec.Struct, frozen=True):
    """A tick that was run for a request: its report as JSON, and why it did not go well."""

    report: bytes
    why: str | None


class TickUnderWayError(CronWorkerError):
    """A tick of this process is at work already."""

    def __init__(self) -> None:
        super().__init__("a tick is under way; ask again when it has ended")


class BadRequestError(CronWorkerError):
    """What was asked for makes no sense."""


class Views(Protocol):
    """What is shown, as it is at this moment. Each may raise a CronWorkerError."""

    async def facts(self) -> Facts: ...

    async def status(self) -> bytes: ...

    async def life(self, connection_id: str) -> Life | None: ...

    async def life_json(self, connection_id: str) -> bytes | None: ...

    async def metrics(self) -> bytes: ...

    async def unready(self) -> str | None:
        """Return why nothing can be done now; None: the database answers and is up to date."""
        ...

    async def tick(self, cron: str | None) -> TickAnswer:
        """Run a tick; `cron` says which of several schedules it is for, and there is one.

        Raises:
            BadRequestError: `cron` is no cron expression.
            TickUnderWayError: it is not run.
        """
        ...


class _Anything(Convertor[str]):
    """A part of a path with whatever is in it: ids have slashes and line feeds."""

    regex = "(?s:.+)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("anything", _Anything())


def app(views: Views, door: Door) -> ASGIApp:
    """Return the application."""
    site = _Site(views)
    routes = [
        Route("/", site.report),
        Route("/status.json", site.status),
        Route("/connections/{connection_id:anything}.json", site.life_json),
        Route("/connections/{connection_id:anything}", site.life),
        Route("/metrics", site.metrics),
        Route("/healthz", _alive),
        Route("/readyz", site.ready),
        Route(TICK, site.tick, methods=["GET", "POST"]),
    ]
    handlers = {CronWorkerError: _failed, 404: _nowhere, 405: _wrong_method}
    return _Guarded(Starlette(routes=routes, exception_handlers=handlers), door)


class _Site:
    """The answers that depend on the views."""

    def __init__(self, views: Views) -> None:
        self._views = views

    async def report(self, _request: Request) -> Response:
        return HTMLResponse(report_page(await self._views.facts(), live=True))

    async def status(self, _request: Request) -> Response:
        return _json(await self._views.status())

    async def life(self, request: Request) -> Response:
        life = await self._views.life(request.path_params["connection_id"])
        return _unknown() if life is None else HTMLResponse(life_page(life, live=True))

    async def life_json(self, request: Request) -> Response:
        connection_id = request.path_params["connection_id"]
        # An id may end like that itself; then its twin ends like that twice.
        namesake = await self._views.life(f"{connection_id}.json")
        if namesake is not None:
            return HTMLResponse(life_page(namesake, live=True))
        found = await self._views.life_json(connection_id)
        return _json_error(404, "there is no such connection") if found is None else _json(found)

    async def metrics(self, _request: Request) -> Response:
        return Response(await self._views.metrics(), headers={"Content-Type": METRICS_TYPE})

    async def ready(self, _request: Request) -> Response:
        why = await self._views.unready()
        # Whoever may not look at the pages is not told why.
        return PlainTextResponse("not ready\n" if why else "ready\n", 503 if why else 200)

    async def tick(self, request: Request) -> Response:
        if request.method == "HEAD":  # Who wants no report wants no tick.
            return await _wrong_method(request, None)
        answer = await self._views.tick(request.query_params.get("cron"))
        if answer.why is None:
            return _json(answer.report)
        why = scrubbed(answer.why)[:_SENTENCE_MAX]
        body = {"error": why, "report": msgspec.Raw(answer.report)}
        return _json(msgspec.json.encode(body), 500)


async def _alive(_request: Request) -> Response:
    return PlainTextResponse("alive\n")


async def _failed(request: Request, exc: Exception) -> Response:
    """Return what our own errors say; they end with what to do, and hold no secret."""
    why = scrubbed(" ".join(str(exc).split()))[:_SENTENCE_MAX]
    status = 503
    if isinstance(exc, TickUnderWayError):
        status = 409
    elif isinstance(exc, BadRequestError):
        status = 400
    if "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(message_page("This cannot be shown now", why), status)
    return _json_error(status, why)


async def _nowhere(request: Request, _exc: Exception) -> Response:
    del request
    return PlainTextResponse("there is no such page; the report is at /\n", 404)


async def _wrong_method(request: Request, _exc: Exception | None) -> Response:
    del request
    return PlainTextResponse("ask with GET\n", 405)


def _unknown() -> Response:
    page = message_page("There is no such connection", "The report links to those that there are.")
    return HTMLResponse(page, 404)


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body + b"\n", status, media_type="application/json")


def _json_error(status: int, why: str) -> Response:
    return JSONResponse({"error": why}, status)


class _Guarded:
    """Asks the door first, and gives every answer its headers."""

    def __init__(self, inner: ASGIApp, door: Door) -> None:
        self._inner, self._door = inner, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope)
        peer = None if request.client is None else request.client.host
        headers = {name: ", ".join(request.headers.getlist(name)) for name in request.headers}
        refusal = self._door.refusal(scope["path"], headers, peer)
        answer: Callable[[Scope, Receive, Send], Awaitable[None]] = self._inner
        if refusal is not None:
            answer = PlainTextResponse(f"{refusal.why}\n", refusal.status)
            if refusal.status == HTTPStatus.UNAUTHORIZED:
                answer.headers["WWW-Authenticate"] = 'Basic realm="clearlift", charset="UTF-8"'

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_headers()]
            await send(message)

        await answer(scope, receive, with_headers)


def _headers() -> list[tuple[bytes, bytes]]:
    policy = f"{content_security_policy()}; frame-ancestors 'none'"
    return [
        (b"content-security-policy", policy.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"DENY"),
        (b"referrer-policy", b"no-referrer"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cache-control", b"no-store"),
    ]

"""HTTP servers of a worker: uvicorn on a socket of ours, without its own signals and logs."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import Any, Final

import uvicorn

from restante.runtime import sockets
from restante.runtime.address import ListenAddress
from restante.runtime.metrics import Histogram

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]

_SECONDS: Final = Histogram(
    "restante_http_request_seconds",
    "Time from a request's head to the end of its answer, by route and status class.",
    ("route", "status"),
)


class Counted:
    """ASGI middleware: the time of each request, by the route's pattern, never by its path."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Pass everything on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = perf_counter(), 500

        async def told(message: _Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, told)
        finally:
            route = getattr(scope.get("route"), "path", "") or "other"
            _SECONDS.labels(route, f"{status // 100}xx").observe(perf_counter() - started)


class HttpServer:
    """Serves an ASGI application on one address until drain()."""

    def __init__(
        self,
        app: Any,
        address: ListenAddress,
        *,
        drain_seconds: float,
        max_connections: int | None = None,
        trusted_proxies: tuple[str, ...] = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`trusted_proxies` are addresses whose X-Forwarded-For and -Proto are believed."""
        self._address = address
        self._server = uvicorn.Server(
            uvicorn.Config(
                Counted(app),
                loop="none",
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                date_header=True,
                proxy_headers=bool(trusted_proxies),
                forwarded_allow_ips=list(trusted_proxies),
                limit_concurrency=max_connections,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=max(1, int(drain_seconds)),
                ssl_context_factory=(lambda *_: tls) if tls is not None else None,
            )
        )
        self._ticks: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Bind and serve. Raises MailError(CANNOT) when the address cannot be bound."""
        sock = sockets.bind(self._address)
        config = self._server.config
        config.load()
        self._server.lifespan = config.lifespan_class(config)
        await self._server.startup(sockets=[sock])
        self._sock = sock
        self._ticks = asyncio.ensure_future(self._server.main_loop())

    async def drain(self) -> None:
        """Stop accepting, let requests under way end within drain_seconds, close the rest."""
        if self._ticks is None:
            return
        self._server.should_exit = True
        await self._ticks
        await self._server.shutdown(sockets=[self._sock])
        self._ticks = None

"""Administration as one object: the desk, the operations, and the doors to them."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from grpc import aio

from restante.runtime.log import get_logger
from services.auth.admin import servicer
from services.auth.admin.desk import Desk
from services.auth.admin.gate import Gate
from services.auth.admin.interceptor import Guard
from services.auth.admin.operations import operations
from services.auth.admin.tools import Tools
from services.auth.settings import AuthSettings
from services.auth.token import admin_token

if TYPE_CHECKING:
    from restante.runtime.http import HttpServer

log = get_logger(__name__)

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Administration:
    """Made before the gRPC server, which needs the guard."""

    def __init__(
        self, settings: AuthSettings, tools: Tools, changed: Callable[[], Awaitable[None]]
    ) -> None:
        """Reads or makes the admin token; `changed` is awaited after every change.

        Raises MailError(CANNOT) where the token's file cannot be used.
        """
        self._settings, self._audit = settings, tools.audit
        given = settings.admin_token.get_secret_value() if settings.admin_token else ""
        token = admin_token(given, settings.run_dir / "admin.token")
        self._gate = Gate(tools.database, token, settings.admin_certificates)
        self._desk = Desk(self._gate, tools.rules, tools.database, tools.audit, changed)
        self._operations = operations(tools)
        self.guard = Guard(self._desk)
        self.http: HttpServer | None = None

    def serve(self, server: aio.Server) -> None:
        """Add the methods to a gRPC server that has the guard."""
        servicer.add_to_server(self._operations, server)

    async def start(self) -> None:
        """Open the HTTP door, where the settings have one. Raises MailError(CANNOT)."""
        if self._settings.http_listen:
            self.http = self._door()
            await self.http.start()

    async def stop(self, grace: float) -> None:
        """Close the HTTP door, and wait `grace` seconds for changes under way."""
        if self.http is not None:
            await self.http.drain()
        await self._desk.close(grace)

    def _door(self) -> "HttpServer":
        from services.auth.admin.http.app import create_app  # noqa: PLC0415 - slow to load
        from services.auth.admin.http.door import make_door  # noqa: PLC0415 - as above
        from services.auth.admin.http.entrance import Entrance  # noqa: PLC0415 - as above
        from services.auth.admin.http.requests import Ask  # noqa: PLC0415 - as above

        settings = self._settings
        address = settings.http_listen
        certificate = settings.http_certificate or settings.grpc_certificate
        key = settings.http_key or settings.grpc_key
        pair = (certificate, key) if certificate and key and not address.is_unix else None
        if pair is None and not address.is_unix and address.host not in _LOOPBACK:
            log.warning("admin tokens cross the network in clear: set RESTANTE_AUTH_HTTP_KEY")
        app = Entrance(create_app(Ask(self._desk, self._operations)), self._gate, self._audit)
        return make_door(app, address, pair, drain_seconds=settings.drain_seconds)

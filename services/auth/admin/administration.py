"""Administration as one object: the desk, the operations, and the doors to them."""

from collections.abc import Awaitable, Callable

from grpc import aio

from services.auth.admin import servicer
from services.auth.admin.desk import Desk
from services.auth.admin.gate import Gate
from services.auth.admin.interceptor import Guard
from services.auth.admin.operations import operations
from services.auth.admin.tools import Tools
from services.auth.settings import AuthSettings
from services.auth.token import admin_token


class Administration:
    """Made before the gRPC server, which needs the guard."""

    def __init__(
        self, settings: AuthSettings, tools: Tools, changed: Callable[[], Awaitable[None]]
    ) -> None:
        """Reads or makes the admin token; `changed` is awaited after every change.

        Raises MailError(CANNOT) where the token's file cannot be used.
        """
        given = settings.admin_token.get_secret_value() if settings.admin_token else ""
        token = admin_token(given, settings.run_dir / "admin.token")
        gate = Gate(tools.database, token, settings.admin_certificates)
        self._desk = Desk(gate, tools.rules, tools.audit, changed)
        self._operations = operations(tools)
        self.guard = Guard(self._desk)

    def serve(self, server: aio.Server) -> None:
        """Add the methods to a gRPC server that has the guard."""
        servicer.add_to_server(self._operations, server)

    async def stop(self, grace: float) -> None:
        """Wait `grace` seconds for changes under way."""
        await self._desk.close(grace)

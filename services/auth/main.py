"""Entry point of the auth service."""

from restante.runtime.service import WorkerContext, run_service
from restante.runtime.settings import load
from services.auth.server import AuthServer
from services.auth.settings import AuthSettings


class AuthService:
    """The life of one worker; auth has exactly one."""

    def __init__(self, context: WorkerContext[AuthSettings]) -> None:
        self._server = AuthServer(context.settings, context.limits)
        context.need("database", self._server.database.check)
        self._grace = context.settings.drain_seconds

    async def start(self) -> None:
        """Serve."""
        await self._server.start()

    async def drain(self) -> None:
        """Let calls under way end."""
        await self._server.stop(self._grace)


def main() -> int:
    """Run the service until a signal ends it; return the exit code."""
    return run_service("auth", load(AuthSettings), AuthService)

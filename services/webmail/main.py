"""Entry point of the webmail service."""

from restante.runtime.http import HttpServer
from restante.runtime.service import WorkerContext, run_service
from restante.runtime.settings import load
from services.webmail.app import create_app
from services.webmail.settings import WebmailSettings


class WebmailService:
    """The web application of one worker."""

    def __init__(self, context: WorkerContext[WebmailSettings]) -> None:
        settings = context.settings
        self._server = HttpServer(
            create_app(),
            settings.listen,
            drain_seconds=settings.drain_seconds,
            max_connections=settings.max_connections,
        )
        self._on = bool(settings.listen)

    async def start(self) -> None:
        """Serve the pages, unless the address is switched off."""
        if self._on:
            await self._server.start()

    async def drain(self) -> None:
        """Let requests under way end."""
        await self._server.drain()


def main() -> int:
    """Run the service; return its exit code."""
    return run_service("webmail", load(WebmailSettings), WebmailService)

"""The listener of the HTTP door: uvicorn on a socket of ours, TLS with a certificate that may
change while it runs.
"""

from pathlib import Path
from typing import Final

from starlette.types import ASGIApp

from restante.runtime.address import ListenAddress
from restante.runtime.http import HttpServer
from restante.runtime.tls import TlsContexts

MAX_REQUESTS: Final = 100  # at once; more get 503


def make_door(
    app: ASGIApp,
    address: ListenAddress,
    certificate: tuple[Path, Path] | None,
    *,
    drain_seconds: float,
) -> HttpServer:
    """Return the server, not started. `certificate` is (chain, key). Raises MailError(CANNOT)."""
    tls = TlsContexts(*certificate).lasting() if certificate is not None else None
    return HttpServer(
        app, address, drain_seconds=drain_seconds, max_connections=MAX_REQUESTS, tls=tls
    )

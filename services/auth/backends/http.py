"""Accounts of a homemade directory, asked over HTTP (docs/directory-module.md).

One POST for each question. Only "200" with a body that is not compressed and not too long is an
answer; redirects are not followed (they would carry passwords elsewhere), and neither the
environment's proxies nor its .netrc are used. A connection that was kept and broke is asked again.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx

from restante.model import ErrorKind, MailError
from restante.runtime.log import get_logger
from services.auth.backends.base import ModuleContext
from services.auth.backends.directory_contract import MAX_ANSWER, DirectoryBackend, away
from services.auth.settings import AuthSettings

log = get_logger(__name__)

_LIST_SECONDS: Final = 30.0  # for each piece of a list
_KEEP_SECONDS: Final = 15.0  # that an idle connection is kept; many servers close after 20
_BROKE: Final = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)


class HttpTransport:
    """A directory behind a URL."""

    name = "http"

    def __init__(self, settings: AuthSettings) -> None:
        """Connects when first asked. Raises MailError(CANNOT) without a URL."""
        if not settings.http_module_url:
            raise MailError(ErrorKind.CANNOT, "RESTANTE_AUTH_HTTP_MODULE_URL is not set")
        self._settings = settings
        self._client: httpx.AsyncClient | None = None

    async def open(self) -> None:
        """Read the CA file."""
        url = httpx.URL(self._settings.http_module_url)
        if url.scheme == "http" and url.host not in ("localhost", "127.0.0.1", "::1"):
            log.warning("passwords cross the network to the directory in clear: use https://")
        self._opened()

    async def ask(self, request: bytes, *, again: bool) -> bytes:
        """Post a question."""
        client = self._opened()
        try:
            # httpx's own timeouts are for each step: a server that drips would last for ever.
            async with asyncio.timeout(self._settings.http_module_seconds):
                try:
                    return await self._ask(client, request)
                except _BROKE:
                    if not again:
                        raise
                    return await self._ask(client, request)
        except TimeoutError as error:
            raise _fault("no answer in time") from error
        except httpx.HTTPError as error:
            raise _fault(type(error).__name__) from error

    async def lines(self, request: bytes) -> AsyncGenerator[bytes, None]:
        """Post a question whose answer is a list."""
        pending = b""
        try:
            async with self._posted(self._opened(), request, _LIST_SECONDS) as response:
                async for piece in response.aiter_raw():
                    *whole, pending = (pending + piece).split(b"\n")
                    if len(pending) > MAX_ANSWER:
                        raise _fault("a line is too long")
                    for line in filter(bytes.strip, whole):
                        yield line
        except httpx.HTTPError as error:
            raise _fault(type(error).__name__) from error
        if pending.strip():
            yield pending

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()

    async def _ask(self, client: httpx.AsyncClient, request: bytes) -> bytes:
        body = b""
        async with self._posted(client, request, self._settings.http_module_seconds) as response:
            async for piece in response.aiter_raw():
                body += piece
                if len(body) > MAX_ANSWER:
                    raise _fault("the answer is too long")
        return body

    @asynccontextmanager
    async def _posted(
        self, client: httpx.AsyncClient, request: bytes, seconds: float
    ) -> AsyncIterator[httpx.Response]:
        url = self._settings.http_module_url
        async with client.stream("POST", url, content=request, timeout=seconds) as response:
            if response.status_code != httpx.codes.OK:
                raise _fault(f"HTTP status {response.status_code}")
            if response.headers.get("content-encoding", "identity") != "identity":
                raise _fault("the answer is compressed")
            yield response

    def _opened(self) -> httpx.AsyncClient:
        """Return the client. Raises MailError(TEMPORARY)."""
        if self._client is None:
            settings, token = self._settings, self._settings.http_module_token
            headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
            if token is not None:
                headers["Authorization"] = f"Bearer {token.get_secret_value()}"
            try:
                tls = ssl.create_default_context(cafile=settings.http_module_ca)
            except OSError as error:  # ssl.SSLError is one
                raise _fault(f"the CA file cannot be read: {error}") from error
            self._client = httpx.AsyncClient(
                verify=tls,
                headers=headers,
                trust_env=False,
                follow_redirects=False,
                limits=httpx.Limits(
                    max_connections=settings.http_module_connections,
                    keepalive_expiry=_KEEP_SECONDS,
                ),
            )
        return self._client


def _fault(reason: str) -> MailError:
    log.warning("the directory does not answer", module="http", reason=reason)
    return away()


def make(settings: AuthSettings, context: ModuleContext) -> DirectoryBackend:
    """Return the module "http"."""
    return DirectoryBackend(HttpTransport(settings), settings, context.rules)

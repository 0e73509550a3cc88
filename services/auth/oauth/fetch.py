"""HTTP to an issuer: JSON objects, bounded in size and time. No redirect is followed."""

import asyncio
import json
from typing import Any, Final

import httpx

from restante.model import ErrorKind, MailError
from restante.runtime.log import get_logger

MAX_BYTES: Final = 256 * 1024
SECONDS: Final = 3.0  # for connecting, and between two reads
ALL_SECONDS: Final = 4.0  # for all: a service waits five for auth's answer

log = get_logger(__name__)


def make_client() -> httpx.AsyncClient:
    """Return a client; close it."""
    return httpx.AsyncClient(
        timeout=SECONDS, follow_redirects=False, headers={"accept": "application/json"}
    )


async def json_of(client: httpx.AsyncClient, request: httpx.Request) -> dict[str, Any]:
    """Return the object that an issuer answers. Raises MailError(TEMPORARY) for anything else."""
    try:
        async with asyncio.timeout(ALL_SECONDS):
            response = await client.send(request, stream=True)
            try:
                found = _object(response.status_code, await _body(response))
            finally:
                await response.aclose()
    except (httpx.HTTPError, ValueError, RecursionError, TimeoutError) as error:
        reason = str(error) or type(error).__name__
        log.warning("the OAuth issuer does not answer", url=str(request.url), reason=reason)
        raise MailError(ErrorKind.TEMPORARY, "the OAuth issuer does not answer") from error
    return found


def _object(status: int, body: bytes) -> dict[str, Any]:
    """Return the JSON object of an answer. Raises ValueError."""
    if status != 200:
        raise ValueError(f"status {status}")
    found = json.loads(body)
    if not isinstance(found, dict):
        raise ValueError("no object")  # noqa: TRY004 - as bad as any other nonsense
    return found


async def _body(response: httpx.Response) -> bytes:
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_BYTES:
            raise ValueError("too long")
    return body

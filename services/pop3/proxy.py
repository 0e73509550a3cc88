"""Logging in to the host that has an account's mail (option mailhost), for POP3: USER and PASS.

The client's password is given on, so only PLAIN, LOGIN and USER/PASS can be.
"""

from restante.runtime.log import get_logger
from restante.runtime.proxy import dialogue
from restante.runtime.upstream import Upstream, UpstreamAddress
from services.pop3.settings import Pop3Settings

_log = get_logger(__name__)


async def log_in(
    settings: Pop3Settings, address: UpstreamAddress, user: str, secret: bytes, session: str
) -> Upstream | None:
    """Return the upstream, logged in and ready to relay; None where it refused.

    Raises MailError(TEMPORARY).
    """
    if any(byte in b"\r\n\0" for byte in user.encode() + secret):
        return None
    seconds = settings.proxy_timeout

    async def said_ok(upstream: Upstream, line: bytes) -> bool:
        upstream.write(line + b"\r\n")
        return (await upstream.line(seconds)).startswith(b"+OK")

    async def consent(upstream: Upstream) -> bool:
        return await said_ok(upstream, b"STLS")

    async with dialogue(settings, address, b"+OK", consent, session=session) as upstream:
        for line in (b"USER " + user.encode(), b"PASS " + secret):
            if not await said_ok(upstream, line):
                # Our auth let him in: that the two disagree is a fault of ours.
                _log.warning(
                    "mailhost refused a login", session=session, host=address.host, user=user
                )
                upstream.close()
                return None
    return upstream

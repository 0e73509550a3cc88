"""Logging in to the host that has an account's mail (option mailhost), for IMAP.

The client's password is given on, so only PLAIN and LOGIN can be. LOGIN with literals is what
every server understands (RFC 3501 sections 6.2.3 and 4.3), and any password can stand in one.
The greeting's text, the capabilities before login and the tags are ours; the tagged answer to
the login, with the capabilities that count from then on, is the upstream's.
"""

import re
from typing import Final

from restante.model import ErrorKind, MailError
from restante.runtime.log import get_logger
from restante.runtime.proxy import dialogue
from restante.runtime.upstream import Upstream, UpstreamAddress
from services.imap.replies import Reply, no, ok
from services.imap.settings import ImapSettings

_log = get_logger(__name__)

_TAG: Final = b"p"
_CAPABILITY: Final = re.compile(rb"\[(CAPABILITY [^\]\r\n]*)\]", re.IGNORECASE)
_MOST_LINES: Final = 100  # untagged lines before an answer


async def log_in(
    settings: ImapSettings, address: UpstreamAddress, user: str, secret: bytes, session: str
) -> tuple[Upstream | None, Reply]:
    """Return the upstream, ready to relay, and what to tell the client; None where it refused.

    Raises MailError(TEMPORARY).
    """
    seconds = settings.proxy_timeout

    async def consent(upstream: Upstream) -> bool:
        upstream.write(_TAG + b" STARTTLS\r\n")
        return (await _answer(upstream, seconds)).upper().startswith(b"OK")

    async with dialogue(settings, address, b"* OK", consent, session=session) as upstream:
        answer = await _log_in(upstream, user.encode(), secret, seconds)
    word, _, text = answer.partition(b" ")
    if word.upper() != b"OK":
        # Our auth let him in: that the two disagree is a fault of ours, not of his password.
        _log.warning("mailhost refused a login", session=session, host=address.host, user=user)
        upstream.close()
        return None, no("The server of this mailbox refused the login.", "UNAVAILABLE")
    found = _CAPABILITY.match(text)
    code = found[1].decode("ascii", "replace") if found else None
    return upstream, ok("Logged in.", code)


async def _log_in(upstream: Upstream, user: bytes, secret: bytes, seconds: float) -> bytes:
    upstream.write(b"%b LOGIN {%d}\r\n" % (_TAG, len(user)))
    for data in (b"%b {%d}\r\n" % (user, len(secret)), secret + b"\r\n"):
        line = await _tagged_or_plus(upstream, seconds)
        if not line.startswith(b"+"):
            return line
        upstream.write(data)
    return await _answer(upstream, seconds)


async def _answer(upstream: Upstream, seconds: float) -> bytes:
    line = await _tagged_or_plus(upstream, seconds)
    if line.startswith(b"+"):
        raise MailError(ErrorKind.TEMPORARY, "The server of this mailbox cannot be understood.")
    return line


async def _tagged_or_plus(upstream: Upstream, seconds: float) -> bytes:
    """Return a continuation, or the tagged answer without its tag."""
    for _ in range(_MOST_LINES):
        line = await upstream.line(seconds)
        if line.startswith(b"+"):
            return line
        if line.startswith(_TAG + b" "):
            return line[len(_TAG) + 1 :]
    raise MailError(ErrorKind.TEMPORARY, "The server of this mailbox cannot be understood.")

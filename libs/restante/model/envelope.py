"""The SMTP envelope of one transaction (RFC 5321 section 2.3.1)."""

from dataclasses import dataclass

from restante.model.address import Address


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who sent it, to whom, and how it came."""

    sender: Address | None  # None is the null reverse-path <>
    recipients: tuple[Address, ...]
    peer: str = ""  # IP address or "unix" of the client
    helo: str = ""  # what the client called itself
    protocol: str = "LMTP"  # the "with" of the Received field (RFC 3848): LMTP, LMTPS, HTTP

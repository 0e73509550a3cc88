"""App passwords: generated secrets for mail programs, each with what it is good for.

They count wherever mail programs log in, never on webmail, whatever module the account is of. The
main password stays as it is; with a second factor it counts on webmail alone.
"""

import ipaddress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from restante.model import ErrorKind, MailError
from services.auth.factors import codes

SERVICES: Final = ("imap", "pop3", "smtp")
READING: Final = ("imap", "pop3")  # what one that may only read is good for
WEBMAIL: Final = "webmail"
VERDICT: Final = 3600  # seconds; the most that RESTANTE_VERDICT_SECONDS can be
MAX_NAME: Final = 100  # characters
MAX_NETWORKS: Final = 32
MAX_PER_ACCOUNT: Final = 100

_ALIASES: Final = {"esmtp": "smtp"}  # Courier's name


@dataclass(frozen=True, slots=True)
class AppPassword:
    """One app password; times in unix seconds, 0 for never."""

    id: str
    name: str
    digest: str = field(repr=False)
    services: tuple[str, ...] = ()  # of SERVICES; none: every one but webmail
    networks: tuple[str, ...] = ()  # none: from anywhere
    read_only: bool = False
    expires: int = 0
    created: int = 0
    last_used: int = 0
    last_peer: str = ""
    last_service: str = ""

    def opens(self, service: str, peer: str, now: float) -> bool:
        """True where it is good for a login of `service` from `peer` (IP address, "" unknown)."""
        service = _ALIASES.get(service, service)
        if service == WEBMAIL or (self.services and service not in self.services):
            return False
        if self.read_only and service not in READING:
            return False
        if self.expires and now >= self.expires:
            return False
        return not self.networks or _within(peer, self.networks)

    def reusable(self, now: float) -> bool:
        """True where a service may remember that it fits: from any peer, for VERDICT seconds."""
        return not self.networks and (not self.expires or self.expires > now + VERDICT)


def checked(wanted: AppPassword) -> AppPassword:
    """Return what somebody asks for with its networks in their usual form.

    Raises MailError(BAD_REQUEST).
    """
    name = wanted.name
    if not 0 < len(name) <= MAX_NAME or any(c < " " or c == "\x7f" for c in name):
        raise MailError(ErrorKind.BAD_REQUEST, f"a name has 1 to {MAX_NAME} characters")
    allowed = READING if wanted.read_only else SERVICES
    if not set(wanted.services) <= set(allowed):
        raise MailError(ErrorKind.BAD_REQUEST, f"services are some of: {' '.join(allowed)}")
    found = []
    for text in wanted.networks:
        try:
            found.append(str(ipaddress.ip_network(text.strip(), strict=False)))
        except ValueError:
            raise MailError(
                ErrorKind.BAD_REQUEST, "a network looks like 192.0.2.0/24 or 2001:db8::/32"
            ) from None
    if len(found) > MAX_NETWORKS:
        raise MailError(ErrorKind.BAD_REQUEST, f"at most {MAX_NETWORKS} networks")
    return replace(wanted, networks=tuple(found))


def digest_of(secret: bytes) -> str:
    """Return the digest of a secret as a client sent it, "" where it is no app password."""
    try:
        return codes.digest(secret.decode("ascii"), codes.APP_PASSWORD)
    except UnicodeDecodeError:
        return ""


@lru_cache(maxsize=1024)
def _parsed(networks: tuple[str, ...]) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(map(ipaddress.ip_network, networks))


def _within(peer: str, networks: tuple[str, ...]) -> bool:
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False  # unknown: from nowhere that was allowed
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in _parsed(networks))

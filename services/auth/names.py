"""From what a client typed to the one canonical login, and from that to a home directory.

Invariants: two spellings of one login have one canonical address, which is the key of
everything per user; a canonical address that `is_safe` can be a path of at most one component
for its domain and one for its local part, so no login leaves the mail root. Local parts are
dot-atoms (RFC 5321 section 4.1.2): no "/", NUL, control, space, "@" or leading ".".
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Final

from restante.model import Address, ErrorKind, MailError

MAX_LOCAL: Final = 128  # bytes; RFC 5321 asks for 64, systems in the field have longer ones


@dataclass(frozen=True, slots=True)
class Login:
    """A name as typed, and its canonical form."""

    given: str
    local: str
    domain: str  # "" only where there is no default domain

    @property
    def address(self) -> str:
        """local@domain, or the bare local part."""
        return f"{self.local}@{self.domain}" if self.domain else self.local


@dataclass(frozen=True, slots=True)
class NameRules:
    """How logins are read: which domain a bare name belongs to, and whether case matters."""

    default_domain: str = ""
    fold_case: bool = True  # of the local part; the domain's case never matters

    def parse(self, text: str) -> Login:
        """Return the login meant by `text`. Raises MailError(BAD_REQUEST)."""
        return _parse(text, self.default_domain, self.fold_case)


@lru_cache(maxsize=8192)
def _parse(text: str, default_domain: str, fold_case: bool) -> Login:
    address = Address.parse(text)
    local = address.local.lower() if fold_case else address.local
    local = unicodedata.normalize("NFC", local)
    domain = unicodedata.normalize("NFC", address.domain) or default_domain
    if not is_safe(local, domain):
        raise MailError(ErrorKind.BAD_REQUEST, "bad address")
    return Login(text, local, domain)


def is_safe(local: str, domain: str) -> bool:
    """True where both parts can be names of directories. `domain` may be ""."""
    for part, limit in ((local, MAX_LOCAL), (domain, 253)):
        if len(part.encode("utf-8", "replace")) > limit or part.startswith("."):
            return False
        if any(c in '/\\"@\x7f' or c <= " " for c in part) or ".." in part:
            return False
    return bool(local) and not domain.startswith("[")


def domain_name(text: str) -> str:
    """Return the canonical name of a domain. Raises MailError(BAD_REQUEST)."""
    domain = unicodedata.normalize("NFC", Address.parse(f"x@{text}").domain)
    if not domain or not is_safe("x", domain):
        raise MailError(ErrorKind.BAD_REQUEST, f"bad domain {text!r}")
    return domain


def homes(local: str, domain: str) -> Iterator[str]:
    """Yield homes relative to the mail root, the usual one first: "d/f/fr/fred", "d/f/fr/fred@2"...

    The suffix cannot be part of a local part, so no candidate is the home of another login.
    """
    stem = "/".join(filter(None, (domain, local[:1], local[:2], local)))
    yield stem
    for number in count(2):
        yield f"{stem}@{number}"

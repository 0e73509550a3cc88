"""A mail address of an SMTP envelope: strict, no comments, no display names.

Grammar: RFC 5321 section 4.1.2 (Mailbox) with RFC 6531 UTF-8. Looser forms are refused so
that two programs can never read one address in two ways (CVE-2023-27043).
"""

import re
from dataclasses import dataclass
from typing import Final

from restante.model.error import ErrorKind, MailError

_ATEXT: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff]"
_DOT_STRING: Final = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*\Z")
_QUOTED: Final = re.compile(r'"((?:[ !#-\[\]-~\u0080-\U0010ffff]|\\[ -~])*)"\Z')
_LABEL: Final = (
    r"[A-Za-z0-9\u0080-\U0010ffff](?:[A-Za-z0-9\-_\u0080-\U0010ffff]*[A-Za-z0-9\u0080-\U0010ffff])?"
)
_DOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?\Z")
_LITERAL: Final = re.compile(r"\[[A-Za-z0-9:.\-]+\]\Z")
_CONTROLS: Final = re.compile(r"[\x80-\x9f\u2028\u2029\ud800-\udfff\ufeff]")


@dataclass(frozen=True, slots=True)
class Address:
    """local@domain, both as given but for the domain's case; `local` is unquoted."""

    local: str
    domain: str  # lower case, no trailing dot; "" where the address had none

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Parse an address without angle brackets. Raises MailError(BAD_REQUEST)."""
        if len(text) > 320 or _CONTROLS.search(text):
            raise MailError(ErrorKind.BAD_REQUEST, "bad address")
        if text.startswith('"'):
            end = _closing_quote(text)
            raw, rest = text[: end + 1], text[end + 1 :]
            quoted = _QUOTED.match(raw)
            if quoted is None or not quoted[1]:
                raise MailError(ErrorKind.BAD_REQUEST, "bad address")
            local = re.sub(r"\\(.)", r"\1", quoted[1])
        else:
            local, at, domain = text.partition("@")
            rest = at + domain
            if not _DOT_STRING.match(local):
                raise MailError(ErrorKind.BAD_REQUEST, "bad address")
        if not rest:
            return cls(local, "")
        domain = rest[1:]
        if rest[0] != "@" or len(domain) > 255:
            raise MailError(ErrorKind.BAD_REQUEST, "bad address")
        if not (_DOMAIN.match(domain) or _LITERAL.match(domain)):
            raise MailError(ErrorKind.BAD_REQUEST, "bad address")
        return cls(local, domain.lower().rstrip("."))

    def without_detail(self, separators: str = "+") -> "Address":
        """Return user@domain of user+detail@domain; unchanged where there is no detail."""
        cut = min((i for i in map(self.local.find, separators) if i > 0), default=-1)
        return Address(self.local[:cut], self.domain) if cut > 0 else self

    def detail(self, separators: str = "+") -> str:
        """Return the detail of user+detail (RFC 5233), or ""."""
        base = self.without_detail(separators)
        return "" if base is self else self.local[len(base.local) + 1 :]

    def __str__(self) -> str:
        local = self.local
        if not _DOT_STRING.match(local):
            local = '"' + re.sub(r'(["\\])', r"\\\1", local) + '"'
        return f"{local}@{self.domain}" if self.domain else local


def _closing_quote(text: str) -> int:
    i = 1
    while i < len(text):
        if text[i] == "\\":
            i += 2
            continue
        if text[i] == '"':
            return i
        i += 1
    raise MailError(ErrorKind.BAD_REQUEST, "bad address")

"""Server sides of SASL PLAIN (RFC 4616) and LOGIN (the de-facto mechanism of old clients).

One `Exchange` per attempt, shared by POP3 AUTH (RFC 5034), IMAP AUTHENTICATE (RFC 3501) and
whatever comes later: the protocol carries base64 lines, this module gives them a meaning.
An initial response may come with the command; "=" there is the empty one. A line "*" aborts.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Final

MECHANISMS: Final = ("PLAIN", "LOGIN")

_MAX_FIELD: Final = 1024  # octets of a user name or password


class SaslError(Exception):
    """The exchange failed; `aborted` when the client gave it up by "*"."""

    def __init__(self, text: str, *, aborted: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.aborted = aborted


@dataclass(frozen=True, slots=True)
class Challenge:
    """What to send next: `data` is base64, to be prefixed with "+ "."""

    data: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """The end of an exchange. `authorization` is "" when the user acts as itself."""

    user: str
    password: str
    authorization: str = ""


Step = Challenge | Credentials


class Exchange:
    """One authentication attempt: begin() once, then step() per client line until Credentials."""

    __slots__ = ("_mechanism", "_user")

    def __init__(self, mechanism: str) -> None:
        """Raise SaslError for a mechanism that is not in MECHANISMS (case does not matter)."""
        self._mechanism = mechanism.upper()
        if self._mechanism not in MECHANISMS:
            raise SaslError("Unsupported authentication mechanism.")
        self._user: str | None = None

    def begin(self, initial: bytes | None = None) -> Step:
        """Start, with the initial response of the command or None where there was none."""
        if initial is None:
            return _PLAIN_START if self._mechanism == "PLAIN" else _ASK_USER
        if initial == b"=":
            # The empty response. To LOGIN it says nothing yet: ask as if there had been none.
            return self._accept(b"") if self._mechanism == "PLAIN" else _ASK_USER
        return self._accept(_decode(initial))

    def step(self, line: bytes) -> Step:
        """Take one line of the client (no line ending). Raises SaslError."""
        if line == b"*":
            raise SaslError("Authentication aborted.", aborted=True)
        return self._accept(_decode(line))

    def _accept(self, data: bytes) -> Step:
        if self._mechanism == "PLAIN":
            parts = data.split(b"\0")
            if len(parts) != 3 or not parts[1]:
                raise SaslError("Invalid PLAIN response.")
            authorization, user, password = map(_text, parts)
            return Credentials(user, password, "" if authorization == user else authorization)
        if b"\0" in data:
            raise SaslError("Invalid LOGIN response.")
        if self._user is None:
            if not data:
                raise SaslError("Invalid LOGIN response.")
            self._user = _text(data)
            return _ASK_PASSWORD
        return Credentials(self._user, _text(data))


_PLAIN_START: Final = Challenge(b"")
_ASK_USER: Final = Challenge(base64.b64encode(b"Username:"))
_ASK_PASSWORD: Final = Challenge(base64.b64encode(b"Password:"))


def _decode(line: bytes) -> bytes:
    try:
        return base64.b64decode(line, validate=True)
    except binascii.Error:
        raise SaslError("Invalid base64.") from None


def _text(data: bytes) -> str:
    if len(data) > _MAX_FIELD:
        raise SaslError("Name or password is too long.")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise SaslError("Name and password must be UTF-8.") from None

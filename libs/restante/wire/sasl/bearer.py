"""OAUTHBEARER (RFC 7628) and its forerunner XOAUTH2: a token of an OAuth issuer.

A refusal is told in a challenge of JSON first; the client answers it (by ^A, or with nothing),
and only then the exchange fails.
"""

import json
import re
from typing import Final

from restante.wire.sasl.base import (
    MAX_TOKEN,
    Challenge,
    Credentials,
    SaslError,
    Scene,
    Simple,
    Step,
    text,
)
from restante.wire.sasl.gs2 import Gs2Header

_TOKEN: Final = re.compile(rb"[A-Za-z0-9._~+/-]+=*\Z")  # RFC 6750 section 2.1
_KEY: Final = re.compile(rb"[A-Za-z]+\Z")
_MAX_PAIRS: Final = 32
_REFUSALS: Final = {
    "OAUTHBEARER": {"status": "invalid_token", "schemes": "bearer", "scope": ""},
    "XOAUTH2": {"status": "401", "schemes": "bearer", "scope": ""},
}


class Bearer(Simple):
    """Key and value pairs, each ended by ^A."""

    def __init__(self, scene: Scene, name: str) -> None:
        self._name = name

    def respond(self, data: bytes) -> Step:
        """Take all at once."""
        if self._name == "OAUTHBEARER":
            header, rest = Gs2Header.read(data)
            if header.binding:
                raise SaslError("OAUTHBEARER has no channel binding.")
            pairs, user = _pairs(rest), header.authorization
            if not rest.startswith(b"\1"):
                raise SaslError("Invalid OAUTHBEARER response.")
        else:
            pairs = _pairs(b"\1" + data)
            user = text(pairs.get(b"user", b""), "The name")
            if not user:
                raise SaslError("Invalid XOAUTH2 response.")
        return Credentials(user, _token(pairs))

    def refused(self) -> Challenge | None:
        """RFC 7628 section 3.2.2."""
        return Challenge.of(json.dumps(_REFUSALS[self._name], separators=(",", ":")).encode())

    def finish(self, data: bytes) -> None:
        """The client's dummy: ^A, or nothing as Google's clients send it."""


def _pairs(data: bytes) -> dict[bytes, bytes]:
    """Read ^A *(key "=" value ^A) ^A."""
    if not data.endswith(b"\1\1"):
        raise SaslError("Invalid bearer response.")
    pieces = data[1:-2].split(b"\1", _MAX_PAIRS)
    found: dict[bytes, bytes] = {}
    for piece in pieces:
        key, equals, value = piece.partition(b"=")
        if not equals or not _KEY.match(key) or key in found or b"\1" in value or b"\0" in value:
            raise SaslError("Invalid bearer response.")
        found[key] = value
    return found


def _token(pairs: dict[bytes, bytes]) -> bytes:
    scheme, _, token = pairs.get(b"auth", b"").partition(b" ")
    token = token.strip(b" ")
    if scheme.lower() != b"bearer" or len(token) > MAX_TOKEN or not _TOKEN.match(token):
        raise SaslError("Invalid bearer token.")
    return token

"""SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), the server's messages.

The arithmetic is auth's: it gets ClientProof and AuthMessage, and gives the ServerSignature.

Channel binding (RFC 5802 section 6):
- "p=type" only with -PLUS, and only for a type that this connection has data of; what the client
  says of the channel is compared with ours.
- "y" where -PLUS was offered means that somebody on the way took it off the list: refused.
- Without binding data ("n", "y") the client's final "c=" must repeat its GS2 header.
"""

import hmac
import re
from base64 import b64decode, b64encode
from binascii import Error
from typing import Final

from restante.wire.sasl.base import (
    Challenge,
    Credentials,
    SaslError,
    Scene,
    ScramQuery,
    Simple,
    Step,
)
from restante.wire.sasl.gs2 import Gs2Header, saslname
from restante.wire.sasl.prep import saslprep

_NONCE: Final = re.compile(rb"[!-+\--~]{1,512}\Z")  # printable but for ","
_EXTENSION: Final = re.compile(rb"[A-Za-z]=[^\0,]+\Z")
_SHA256: Final = 32  # octets
_MAX_ITERATIONS: Final = 10_000_000


class Scram(Simple):
    """client-first, server-first, client-final, server-final."""

    def __init__(self, scene: Scene, name: str) -> None:
        self._plus = name.endswith("-PLUS")
        self._scene = scene
        self._header = Gs2Header(b"n,,", "", False, "")
        self._first_bare = b""
        self._nonce = b""
        self._server_first = b""
        self._user = ""

    def respond(self, data: bytes) -> Step:
        """Take client-first, then client-final."""
        return self._client_final(data) if self._server_first else self._client_first(data)

    def parameters(self, salt: bytes, iterations: int) -> Step:
        """Send server-first."""
        if not self._nonce or self._server_first or not salt:
            raise SaslError("Unexpected parameters.")
        if not 0 < iterations <= _MAX_ITERATIONS:
            raise SaslError("Unexpected parameters.")
        self._nonce += self._scene.nonce().encode()
        self._server_first = b"r=%b,s=%b,i=%d" % (self._nonce, b64encode(salt), iterations)
        return Challenge.of(self._server_first)

    def accepted(self, proof: bytes) -> Challenge | None:
        """Send server-final with the ServerSignature: so the client knows that it is us."""
        return Challenge.of(b"v=" + b64encode(proof))

    def finish(self, data: bytes) -> None:
        """The client has seen the signature, and has nothing to say."""
        if data:
            raise SaslError("Invalid SCRAM response.")

    def _client_first(self, data: bytes) -> Step:
        if self._nonce:
            raise SaslError("Unexpected response.")
        header, bare = Gs2Header.read(data)
        self._check_binding(header)
        parts = bare.split(b",")
        if len(parts) < 2 or parts[0][:2] != b"n=" or parts[1][:2] != b"r=":
            raise SaslError("Invalid SCRAM message.")  # "m=" first: extensions we do not know
        _check_extensions(parts[2:])
        nonce = parts[1][2:]
        if not _NONCE.match(nonce):
            raise SaslError("Invalid SCRAM nonce.")
        self._user = _prepared(saslname(parts[0][2:]))
        self._header, self._first_bare, self._nonce = header, bare, nonce
        return ScramQuery(self._user)

    def _check_binding(self, header: Gs2Header) -> None:
        if self._plus:
            if not header.binding:
                raise SaslError("Channel binding is needed.")
            if header.binding not in self._scene.bindings:
                raise SaslError("This type of channel binding is not available.")
        elif header.binding:
            raise SaslError("Channel binding needs SCRAM-SHA-256-PLUS.")
        elif header.supported and "SCRAM-SHA-256-PLUS" in self._scene.offered:
            raise SaslError("The list of mechanisms was tampered with.")

    def _client_final(self, data: bytes) -> Step:
        without_proof, _, proof_text = data.rpartition(b",p=")
        parts = without_proof.split(b",")
        if len(parts) < 2 or parts[0][:2] != b"c=" or parts[1][:2] != b"r=":
            raise SaslError("Invalid SCRAM message.")
        _check_extensions(parts[2:])
        if not hmac.compare_digest(parts[1][2:], self._nonce):
            raise SaslError("Invalid SCRAM nonce.")
        bound = self._header.raw
        if self._plus:
            bound += self._scene.bindings[self._header.binding]
        if not hmac.compare_digest(_decode(parts[0][2:]), bound):
            raise SaslError("Channel binding does not fit.")
        proof = _decode(proof_text)
        if len(proof) != _SHA256:
            raise SaslError("Invalid SCRAM proof.")
        message = b",".join((self._first_bare, self._server_first, without_proof))
        wanted = _prepared(self._header.authorization) if self._header.authorization else ""
        return Credentials(self._user, proof, "" if wanted == self._user else wanted, message)


def _check_extensions(parts: list[bytes]) -> None:
    """Optional extensions are passed over; "m" would be a mandatory one."""
    for part in parts:
        if not _EXTENSION.match(part) or part[:1] == b"m":
            raise SaslError("Invalid SCRAM message.")


def _prepared(name: str) -> str:
    try:
        prepared = saslprep(name)
    except ValueError:
        raise SaslError("Invalid name.") from None
    if not prepared:
        raise SaslError("Invalid name.")
    return prepared


def _decode(data: bytes) -> bytes:
    try:
        return b64decode(data, validate=True)
    except Error:
        raise SaslError("Invalid base64.") from None

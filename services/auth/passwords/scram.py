"""SCRAM-SHA-256's verifiers (RFC 5802 section 3, RFC 7677): made, kept as text, compared.

Kept as Dovecot writes them, {SCRAM-SHA-256}iterations,salt,StoredKey,ServerKey, in base64; read
also in the form of RFC 5803 and PostgreSQL: SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey. Who
has a verifier cannot log in with it, but can try passwords at `iterations` hashes each.
"""

import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from binascii import Error
from dataclasses import dataclass, field
from typing import Final

from restante.wire.sasl.prep import saslprep

MAX_ITERATIONS: Final = 10_000_000

_DIGEST: Final = "sha256"
_BASE64: Final = r"([A-Za-z0-9+/]+={0,2})"
_DOVECOT: Final = re.compile(
    rf"\{{SCRAM-SHA-256\}}([0-9]{{1,8}}),{_BASE64},{_BASE64},{_BASE64}\Z", re.IGNORECASE
)
_RFC_5803: Final = re.compile(
    rf"SCRAM-SHA-256\$([0-9]{{1,8}}):{_BASE64}\${_BASE64}:{_BASE64}\Z", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class ScramKeys:
    """What a server keeps of a password."""

    salt: bytes
    iterations: int
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)

    def __str__(self) -> str:
        salt, stored, server = (
            b64encode(part).decode() for part in (self.salt, self.stored_key, self.server_key)
        )
        return f"{{SCRAM-SHA-256}}{self.iterations},{salt},{stored},{server}"

    def fits(self, proof: bytes, message: bytes) -> bool:
        """True where ClientProof is right for an AuthMessage."""
        if len(proof) != len(self.stored_key):
            return False
        signature = hmac.digest(self.stored_key, message, _DIGEST)
        client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
        return hmac.compare_digest(hashlib.new(_DIGEST, client_key).digest(), self.stored_key)

    def signature(self, message: bytes) -> bytes:
        """Return the ServerSignature of an AuthMessage."""
        return hmac.digest(self.server_key, message, _DIGEST)


def make_keys(password: bytes, salt: bytes, iterations: int) -> ScramKeys:
    """Derive the keys of a password. Costs `iterations` hashes: run it off the loop."""
    salted = hashlib.pbkdf2_hmac(_DIGEST, prepared(password), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", _DIGEST)
    stored_key = hashlib.new(_DIGEST, client_key).digest()
    return ScramKeys(salt, iterations, stored_key, hmac.digest(salted, b"Server Key", _DIGEST))


def read_keys(stored: str) -> ScramKeys | None:
    """Return the keys of a stored text, None where it is none."""
    match = _DOVECOT.match(stored) or _RFC_5803.match(stored)
    if match is None or not 0 < int(match[1]) <= MAX_ITERATIONS:
        return None
    try:
        salt, stored_key, server_key = (b64decode(match[i], validate=True) for i in (2, 3, 4))
    except Error:
        return None
    size = hashlib.new(_DIGEST).digest_size
    if not salt or len(stored_key) != size or len(server_key) != size:
        return None
    return ScramKeys(salt, int(match[1]), stored_key, server_key)


def prepared(password: bytes) -> bytes:
    """Return a password by SASLprep; as it is where that cannot be done."""
    try:
        return saslprep(password.decode()).encode() or password
    except ValueError:
        return password

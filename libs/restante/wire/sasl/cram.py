"""CRAM-MD5 (RFC 2195), and with other hashes as Courier has it: CRAM-SHA1, CRAM-SHA256.

The server speaks first. A challenge has the form of a message id and is never used twice.
"""

import re
import time
from typing import Final

from restante.wire.sasl.base import Challenge, Credentials, SaslError, Scene, Simple, Step, text

DIGEST_SIZES: Final = {"CRAM-MD5": 16, "CRAM-SHA1": 20, "CRAM-SHA256": 32}
"""Octets of the digest."""

_HEX: Final = re.compile(rb"[0-9a-fA-F]+\Z")


class Cram(Simple):
    """A keyed digest of the challenge."""

    def __init__(self, scene: Scene, name: str) -> None:
        self._digits = 2 * DIGEST_SIZES[name]
        self._challenge = f"<{scene.nonce()}.{int(time.time())}@{scene.host}>".encode()

    def start(self) -> Step:
        """Send the challenge."""
        return Challenge.of(self._challenge)

    def initial(self, data: bytes) -> Step:
        """There is nothing that a client could answer yet (RFC 4422 section 5, 1.)."""
        raise SaslError("The server speaks first.")

    def respond(self, data: bytes) -> Step:
        """Take "user digest"; the name may hold blanks."""
        user, _, digest = data.rpartition(b" ")
        if not user or len(digest) != self._digits or not _HEX.match(digest):
            raise SaslError("Invalid CRAM response.")
        return Credentials(text(user), digest.lower(), challenge=self._challenge)

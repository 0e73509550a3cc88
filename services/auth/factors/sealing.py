"""Seals what must be read again, under the service secret: AES-256-GCM.

Form: base64url of a random nonce (12 bytes) and the ciphertext with its tag. The address is bound
in, so that a row copied to another account opens nothing.
"""

import base64
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from restante.model import ErrorKind, MailError
from services.auth.secret import derive

_NONCE = 12


class Sealer:
    """Seals texts of one purpose."""

    def __init__(self, secret: bytes, purpose: str) -> None:
        """`secret` is the service secret."""
        self._cipher = AESGCM(derive(secret, f"seal {purpose}"))

    def seal(self, text: str, address: str) -> str:
        """Return `text` sealed for an account."""
        nonce = os.urandom(_NONCE)
        sealed = self._cipher.encrypt(nonce, text.encode(), address.encode())
        return base64.urlsafe_b64encode(nonce + sealed).decode()

    def open(self, sealed: str, address: str) -> str:
        """Return the text. Raises MailError(TEMPORARY) where the secret is another one."""
        try:
            data = base64.urlsafe_b64decode(sealed)
            return self._cipher.decrypt(data[:_NONCE], data[_NONCE:], address.encode()).decode()
        except (ValueError, InvalidTag):
            raise MailError(
                ErrorKind.TEMPORARY, "a sealed secret cannot be opened: was the secret changed?"
            ) from None

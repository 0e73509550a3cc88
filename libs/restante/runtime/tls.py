"""Server side TLS: one context from the certificate's files, made anew when they change.

The files are looked at at most once per second, at a handshake. A change that cannot be loaded
(half written, key and certificate of different pairs) is logged and the old context stays.
"""

import os
import ssl
import time
from pathlib import Path
from typing import Final

from restante.model import ErrorKind, MailError
from restante.runtime.log import get_logger

_LOOK_EVERY: Final = 1.0  # seconds
_log = get_logger(__name__)

Stamp = tuple[int, int, int, int, int, int]


class TlsContexts:
    """The server's TLS contexts. TLS 1.2 at least."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Load the pair. Raises MailError(CANNOT) with a text that names the file at fault."""
        self._certificate = certificate
        self._key = key
        self._stamp = self._look()
        self._looked = time.monotonic()
        self._context = self._load()

    def context(self) -> ssl.SSLContext:
        """Return the context for a handshake now."""
        now = time.monotonic()
        if now - self._looked >= _LOOK_EVERY:
            self._looked = now
            try:
                stamp = self._look()
                if stamp != self._stamp:
                    self._context = self._load()
                    self._stamp = stamp
                    _log.info("tls certificate loaded again", file=str(self._certificate))
            except MailError as error:
                _log.warning("tls certificate not loaded, the old one stays", reason=error.text)
        return self._context

    def _look(self) -> Stamp:
        try:
            one, two = os.stat(self._certificate), os.stat(self._key)
        except OSError as error:
            raise MailError(
                ErrorKind.CANNOT, f"TLS: cannot read {error.filename}: {error.strerror}"
            ) from None
        return (
            one.st_mtime_ns,
            one.st_ino,
            one.st_size,
            two.st_mtime_ns,
            two.st_ino,
            two.st_size,
        )

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
        try:
            context.load_cert_chain(self._certificate, self._key)
        except (OSError, ssl.SSLError) as error:
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            raise MailError(
                ErrorKind.CANNOT, f"TLS: cannot load {self._certificate} and its key: {reason}"
            ) from None
        return context

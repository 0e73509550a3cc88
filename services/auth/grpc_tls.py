"""TLS of the gRPC door: certificate, key and the clients' CA, read again when their files change.

gRPC asks for them at each handshake, on a thread of its own. The files are looked at once a second
at most; what cannot be loaded is logged once, and what was loaded before stays. Connections that
are open go on with what they began with.
"""

import os
import ssl
import threading
import time
from pathlib import Path
from typing import Any, Final

import grpc

from restante.model import ErrorKind, MailError
from restante.runtime.log import get_logger

_LOOK_EVERY: Final = 1.0  # seconds
_log = get_logger(__name__)

_Stamp = tuple[int, ...]


class GrpcCertificates:
    """What gRPC shows, and whom it believes."""

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None = None) -> None:
        """With `client_ca` every client must show a certificate of it. MailError(CANNOT)."""
        self._certificate, self._key, self._client_ca = certificate, key, client_ca
        self._mutex = threading.Lock()
        self._stamp = self._look()
        self._refused: _Stamp | None = None
        self._looked = time.monotonic()
        self._first = self._load()

    def credentials(self) -> grpc.ServerCredentials:
        """Return what a port is opened with; it follows the files from then on."""
        newer: Any = self._newer  # None for "as before" is missing in the type
        return grpc.dynamic_ssl_server_credentials(
            self._first, newer, require_client_authentication=self._client_ca is not None
        )

    def _newer(self) -> grpc.ServerCertificateConfiguration | None:
        """Return what changed since it was asked last, None for nothing. Any thread."""
        with self._mutex:
            now = time.monotonic()
            if now - self._looked < _LOOK_EVERY:
                return None
            self._looked = now
            stamp: _Stamp = ()
            try:
                stamp = self._look()
                if stamp in (self._stamp, self._refused):
                    return None
                loaded = self._load()
            except MailError as error:
                if stamp != self._refused:
                    self._refused = stamp
                    _log.warning("tls certificate not loaded, the old one stays", reason=error.text)
                return None
            self._stamp, self._refused = stamp, None
            _log.info("tls certificate loaded again", file=str(self._certificate))
            return loaded

    def _look(self) -> _Stamp:
        try:
            seen = [os.stat(path) for path in self._files()]
        except OSError as error:
            raise _cannot(error) from None
        return tuple(n for one in seen for n in (one.st_mtime_ns, one.st_ino, one.st_size))

    def _load(self) -> grpc.ServerCertificateConfiguration:
        try:
            # gRPC would take any octets, and fail every handshake with them.
            check = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            check.load_cert_chain(self._certificate, self._key)
            if self._client_ca is not None:
                check.load_verify_locations(self._client_ca)
            pair = (self._key.read_bytes(), self._certificate.read_bytes())
            ca = self._client_ca.read_bytes() if self._client_ca is not None else None
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise _cannot(error) from None
        return grpc.ssl_server_certificate_configuration([pair], ca)

    def _files(self) -> tuple[Path, ...]:
        ca = (self._client_ca,) if self._client_ca is not None else ()
        return (self._certificate, self._key, *ca)


def _cannot(error: Exception) -> MailError:
    reason = getattr(error, "reason", None) or error
    return MailError(ErrorKind.CANNOT, f"TLS file of gRPC: {reason}")

"""Server side TLS: contexts from certificates' files, made anew when they change.

The files of a certificate are looked at at most once per second, at a handshake that uses it. A
change that cannot be loaded (half written, key and certificate of different pairs) is logged once
and the old context stays, until the files change again.

With a directory of certificates (tls_names.py) the name that a client asks for (SNI, RFC 6066
section 3) chooses among them; the pair of the settings is for every other name and for clients
that name none. The choice replaces the connection's context during the handshake, so what is asked
of the connection later (its end point for channel bindings) is that of the certificate it showed.

Client certificates are asked for where a CA for them is set, and never demanded: a client without
one is served, one with a certificate that does not verify fails the handshake.
"""

import hashlib
import os
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from restante.model import ErrorKind, MailError
from restante.runtime.log import get_logger
from restante.runtime.tls_exporter import exporter

_LOOK_EVERY: Final = 1.0  # seconds
_log = get_logger(__name__)

Stamp = tuple[int, ...]


class ServerContext(ssl.SSLContext):
    """A context that knows its certificate's tls-server-end-point (RFC 5929), b"" if undefined."""

    end_point: bytes = b""


Choose = Callable[[str], "ServerContext | None"]
"""Returns the context for the name that a client asks for, None for the default."""


class TlsContexts:
    """The server's TLS contexts of one certificate. TLS 1.2 at least."""

    def __init__(
        self,
        certificate: Path,
        key: Path,
        client_ca: Path | None = None,
        choose: Choose | None = None,
    ) -> None:
        """Load the pair. Raises MailError(CANNOT) with a text that names the file at fault.

        `choose` finds the context of another certificate by the name a client asks for.
        """
        self._certificate = certificate
        self._key = key
        self._client_ca = client_ca
        self._choose = choose
        self._refused: Stamp | None = None  # of files that could not be loaded
        self._stamp = self._look()
        self._looked = time.monotonic()
        self._context = self._load()

    def context(self) -> ServerContext:
        """Return the context for a handshake now."""
        now = time.monotonic()
        if now - self._looked >= _LOOK_EVERY:
            self._looked = now
            self._renew()
        return self._context

    def lasting(self) -> ssl.SSLContext:
        """Return one context for servers that take none per connection: it stays up to date."""
        context = self._load()

        def newest(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
            connection.context = self._chosen(name) or self.context()

        # Called for every handshake, also of clients that name no server.
        context.sni_callback = newest
        return context

    def _renew(self) -> None:
        stamp: Stamp = ()
        try:
            stamp = self._look()
            if stamp in (self._stamp, self._refused):
                return
            self._context = self._load()
        except MailError as error:
            if self._refused != stamp:
                self._refused = stamp
                _log.warning("tls certificate not loaded, the old one stays", reason=error.text)
            return
        self._stamp, self._refused = stamp, None
        _log.info("tls certificate loaded again", file=str(self._certificate))

    def _chosen(self, name: str | None) -> ServerContext | None:
        return self._choose(name) if name and self._choose is not None else None

    def _by_name(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        chosen = self._chosen(name)
        if chosen is not None:
            connection.context = chosen

    def _look(self) -> Stamp:
        files = filter(None, (self._certificate, self._key, self._client_ca))
        try:
            seen = [os.stat(path) for path in files]
        except OSError as error:
            raise MailError(
                ErrorKind.CANNOT, f"TLS: cannot read {error.filename}: {error.strerror}"
            ) from None
        return tuple(n for one in seen for n in (one.st_mtime_ns, one.st_ino, one.st_size))

    def _load(self) -> ServerContext:
        context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
        if self._choose is not None:
            context.sni_callback = self._by_name
        at = f"{self._certificate} and its key"
        try:
            context.load_cert_chain(self._certificate, self._key)
            context.end_point = end_point(self._certificate.read_bytes())
            if self._client_ca is not None:
                at = str(self._client_ca)
                context.load_verify_locations(self._client_ca)
                context.verify_mode = ssl.CERT_OPTIONAL
        except (OSError, ssl.SSLError, ValueError) as error:
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            raise MailError(ErrorKind.CANNOT, f"TLS: cannot load {at}: {reason}") from None
        return context


def end_point(chain: bytes) -> bytes:
    """Return the tls-server-end-point binding of a PEM chain's first certificate.

    RFC 5929 section 4.1: the certificate's digest by the hash of its signature, SHA-256 in place of
    MD5 and SHA-1; b"" where the signature has no single hash (Ed25519). Raises ValueError.
    """
    certificate = x509.load_pem_x509_certificate(chain)
    algorithm = certificate.signature_hash_algorithm
    if algorithm is None:
        return b""
    name = "sha256" if algorithm.name in ("md5", "sha1") else algorithm.name
    return hashlib.new(name, certificate.public_bytes(Encoding.DER)).digest()


def bindings_of(connection: ssl.SSLObject) -> dict[str, bytes]:
    """Return the channel binding data of a connection by type: the best first."""
    context = connection.context
    found = {
        "tls-exporter": exporter(connection),
        "tls-server-end-point": context.end_point if isinstance(context, ServerContext) else b"",
    }
    return {name: data for name, data in found.items() if data}


def client_name(connection: ssl.SSLObject) -> str:
    """Return the name in the client's verified certificate, "" if it showed none.

    The first rfc822Name of the subject's alternative names, else the subject's common name.
    """
    encoded = connection.getpeercert(binary_form=True)
    if not encoded:
        return ""
    try:
        certificate = x509.load_der_x509_certificate(encoded)
        return _mail_name(certificate) or _common_name(certificate)
    except ValueError:  # verified by one library, not understood by the other
        return ""


def _mail_name(certificate: x509.Certificate) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    return next(iter(names.get_values_for_type(x509.RFC822Name)), "")


def _common_name(certificate: x509.Certificate) -> str:
    found = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(found[-1].value) if found else ""

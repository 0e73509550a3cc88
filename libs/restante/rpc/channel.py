"""What both clients say when they open a channel.

Replicas of auth stand behind one name with several addresses. A channel connects to all of them and
calls go round; one that refuses, or that answers no HTTP/2 ping, is left at once, and its name is
looked up again. A new replica is found when a connection ends, which auth sees to (CONNECTION_AGE
in services/auth/server.py).
"""

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import grpc

from restante.model import ErrorKind, MailError

# A peer that came back must be found again at once, not after gRPC's default of up to 2 minutes.
CHANNEL_OPTIONS: Final = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.dns_min_time_between_resolutions_ms", 1000),  # by default 30 s: too long for a restart
    # A peer that vanished without a word, as a machine does, is noticed after 5 + 2 seconds.
    ("grpc.keepalive_time_ms", 5000),
    ("grpc.keepalive_timeout_ms", 2000),
    ("grpc.http2.ping_timeout_ms", 2000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.enable_retries", 0),  # the retry below is ours; gRPC's own costs CPU on each call
    ("grpc.enable_http_proxy", 0),
)


@dataclass(frozen=True, slots=True)
class ClientTls:
    """Files (PEM) for TLS to auth; certificate and key only where the server wants a client's."""

    ca: Path
    certificate: Path | None = None
    key: Path | None = None
    server_name: str = ""  # where the certificate does not name the target's host

    def credentials(self) -> grpc.ChannelCredentials:
        """Read the files. Raises MailError(TEMPORARY) where one cannot be read."""
        try:
            return grpc.ssl_channel_credentials(
                root_certificates=self.ca.read_bytes(),
                certificate_chain=self.certificate.read_bytes() if self.certificate else None,
                private_key=self.key.read_bytes() if self.key else None,
            )
        except OSError as error:
            raise MailError(ErrorKind.TEMPORARY, f"TLS file for auth: {error}") from error

    def stamp(self) -> tuple[int, ...]:
        """Return what changes with the files; () where one is missing."""
        try:
            seen = [os.stat(file) for file in (self.ca, self.certificate, self.key) if file]
        except OSError:
            return ()
        return tuple(n for one in seen for n in (one.st_mtime_ns, one.st_ino, one.st_size))

    def check(self) -> None:
        """Raise MailError(TEMPORARY) where the files are none that a handshake could use.

        gRPC itself takes any octets, and would find out at each connection.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.certificate is not None and self.key is not None:
                context.load_cert_chain(self.certificate, self.key)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise MailError(ErrorKind.TEMPORARY, f"TLS file for auth: {error}") from None

    def options(self) -> tuple[tuple[str, str], ...]:
        """Return channel options for the server's name."""
        if not self.server_name:
            return ()
        return (("grpc.ssl_target_name_override", self.server_name),)


class AuthSettings(Protocol):
    """What a service's settings say of the way to auth."""

    @property
    def auth_target(self) -> str:
        """unix:/path or host:port."""

    @property
    def auth_client_ca(self) -> Path | None:
        """CA of auth's certificate; None: no TLS."""

    @property
    def auth_client_certificate(self) -> Path | None:
        """What we show (mTLS)."""

    @property
    def auth_client_key(self) -> Path | None:
        """Key of that."""

    @property
    def verdict_seconds(self) -> float:
        """How long a right password is good for without asking."""


def client_tls(settings: AuthSettings) -> ClientTls | None:
    """Return the TLS of calls to auth; None without a CA: no TLS."""
    ca = settings.auth_client_ca
    if ca is None:
        return None
    return ClientTls(ca, settings.auth_client_certificate, settings.auth_client_key)

"""What both clients say when they open a channel."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc

from restante.model import ErrorKind, MailError

# A peer that came back must be found again at once, not after gRPC's default of up to 2 minutes.
CHANNEL_OPTIONS: Final = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 1000),
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

    def options(self) -> tuple[tuple[str, str], ...]:
        """Return channel options for the server's name."""
        if not self.server_name:
            return ()
        return (("grpc.ssl_target_name_override", self.server_name),)


def client_tls(ca: Path | None, certificate: Path | None, key: Path | None) -> ClientTls | None:
    """Return the TLS of calls to auth by the settings' paths; None without a CA: no TLS."""
    return None if ca is None else ClientTls(ca, certificate, key)

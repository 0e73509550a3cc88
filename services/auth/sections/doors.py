"""Settings: where auth listens, with what TLS, and who may administrate."""

from pathlib import Path

from pydantic import Field

from restante.model import ErrorKind, MailError
from restante.runtime.settings import AbsolutePath, CommaList, ListenAddress, ServiceSettings
from services.auth.sections.paths import below


class DoorSettings(ServiceSettings):
    """gRPC and authdaemond's socket."""

    listen: ListenAddress = Field(
        default_factory=lambda done: ListenAddress(path=str(below(done, "run", "auth.sock"))),
        description="gRPC for this machine: unix:PATH.",
    )
    tcp_listen: ListenAddress = Field(
        ListenAddress(),
        description="gRPC for other machines: host:port; TLS if a CA or key is set.",
    )
    grpc_certificate: AbsolutePath | None = Field(
        None, description="PEM certificate chain for gRPC over TCP; without it TCP is in clear."
    )
    grpc_key: AbsolutePath | None = Field(None, description="PEM key of grpc_certificate.")
    grpc_client_ca: AbsolutePath | None = Field(
        None, description="CA whose client certificates are asked for (mTLS) over TCP."
    )
    authdaemon_listen: ListenAddress = Field(
        ListenAddress(),
        description="authdaemond's protocol for exim and Courier's tools: unix:PATH or host:port.",
    )
    authdaemon_certificate: AbsolutePath | None = Field(
        None,
        description="PEM certificate chain of authdaemond's protocol; over TCP else that of gRPC.",
    )
    authdaemon_key: AbsolutePath | None = Field(
        None, description="PEM key of authdaemon_certificate."
    )
    authdaemon_client_ca: AbsolutePath | None = Field(
        None,
        description="CA whose client certificates are needed at authdaemond's protocol; "
        "that of gRPC where its certificate is used.",
    )
    authdaemon_passwords: bool = Field(
        False, description="Send stored hashes (PASSWD) over authdaemond's protocol."
    )
    http_listen: ListenAddress = Field(
        ListenAddress(), description="Administration as HTTP and JSON: host:port or unix:PATH."
    )
    http_certificate: AbsolutePath | None = Field(
        None, description="PEM certificate chain of the HTTP door; else grpc_certificate."
    )
    http_key: AbsolutePath | None = Field(None, description="PEM key of http_certificate.")
    admin_certificates: CommaList = Field(
        (), description="Names of client certificates that may make admin calls."
    )

    def authdaemon_tls(self) -> tuple[Path, Path, Path | None] | None:
        """Certificate, key and CA of clients for authdaemond's protocol; None: it is in clear.

        Raises MailError(CANNOT) where something that belongs to it is missing.
        """
        pair = (self.authdaemon_certificate, self.authdaemon_key)
        if pair[0] is not None and pair[1] is not None:
            return pair[0], pair[1], self.authdaemon_client_ca
        if pair != (None, None):
            raise MailError(
                ErrorKind.CANNOT,
                "RESTANTE_AUTH_AUTHDAEMON_CERTIFICATE and _KEY are needed together",
            )
        if self.authdaemon_listen.is_unix or self.grpc_certificate is None or self.grpc_key is None:
            if self.authdaemon_client_ca is not None:
                raise MailError(
                    ErrorKind.CANNOT,
                    "RESTANTE_AUTH_AUTHDAEMON_CLIENT_CA needs a certificate and key",
                )
            return None
        return (
            self.grpc_certificate,
            self.grpc_key,
            self.authdaemon_client_ca or self.grpc_client_ca,
        )

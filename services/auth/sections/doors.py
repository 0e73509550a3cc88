"""Settings: where auth listens, with what TLS, and who may administrate."""

from pydantic import Field

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
        ListenAddress(), description="authdaemond's protocol for exim and Courier's tools."
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

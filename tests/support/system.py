"""Several services on one data directory, with a mail volume, a certificate and accounts.

with System(tmp_path) as system:
    system.add_account("fred@example.test", "secret")
    imaplib.IMAP4(*system.address("imap"))
"""

import ssl
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc

from restante.cli.cert import make_certificate
from restante.rpc.admin.v1 import admin_pb2, admin_pb2_grpc
from restante.store.volume import create_volume
from tests.support.process import ServiceProcess

ALL = ("auth", "delivery", "pop3", "imap", "webmail")

# Password hashes that cost next to nothing, so that tests may log in a thousand times.
_CHEAP = {
    "RESTANTE_AUTH_ARGON2_TIME": "1",
    "RESTANTE_AUTH_ARGON2_MEMORY_KIB": "64",
    "RESTANTE_AUTH_FAILURE_SECONDS": "0",
}


class System:
    """The services `names` (auth is always among them) on tmp_path/data."""

    def __init__(
        self,
        tmp_path: Path,
        names: Iterable[str] = ALL,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.data = tmp_path / "data"
        self.mail_root = self.data / "mail"
        self.certificate = self.data / "tls" / "cert.pem"
        self.env = {**_CHEAP, **(env or {})}
        wanted = dict.fromkeys(["auth", *names])
        self.services = {name: ServiceProcess(name, self.data, self.env) for name in wanted}

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Prepare the data directory where it is new, start all, wait until all are ready."""
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        create_volume(self.mail_root)
        if not self.certificate.exists():
            make_certificate(
                self.certificate, self.data / "tls" / "key.pem", ["localhost", "127.0.0.1"]
            )
        try:
            for service in self.services.values():
                service.spawn()
            for service in self.services.values():
                service.wait_ready()
        except BaseException:
            for service in self.services.values():
                service.kill()
            raise
        return self

    def stop(self) -> None:
        """Drain all, auth last."""
        for service in reversed(self.services.values()):
            service.stop()

    def __getitem__(self, name: str) -> ServiceProcess:
        return self.services[name]

    def address(self, name: str, field: str = "listen") -> tuple[str, int]:
        """Return the (host, port) of a service, such as ("imap", "tls_listen")."""
        return self.services[name].address(field)

    def tls_client(self) -> ssl.SSLContext:
        """Return a client's context that trusts this system's certificate for "localhost"."""
        return ssl.create_default_context(cafile=str(self.certificate))

    @property
    def admin_token(self) -> str:
        """The token of admin calls, made by the auth service."""
        return (self.data / "run" / "admin.token").read_text().strip()

    @property
    def auth_target(self) -> str:
        """The gRPC target of the auth service."""
        return f"unix:{self.data}/run/auth.sock"

    def add_account(
        self, address: str, password: str, *, quota: str = "", options: str = ""
    ) -> None:
        """Create an account, and its domain where it is new."""
        token = (("authorization", f"Bearer {self.admin_token}"),)
        with grpc.insecure_channel(self.auth_target) as channel:
            admin = admin_pb2_grpc.AdminStub(channel)
            try:
                admin.CreateDomain(
                    admin_pb2.CreateDomainRequest(
                        domain=admin_pb2.Domain(name=address.rpartition("@")[2])
                    ),
                    metadata=token,
                    timeout=10,
                )
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
                    raise
            admin.CreateAccount(
                admin_pb2.CreateAccountRequest(
                    account=admin_pb2.Account(address=address, quota=quota, options=options),
                    password=password.encode(),
                ),
                metadata=token,
                timeout=10,
            )


def unique_message(subject: str = "test", size: int = 0) -> bytes:
    """Return a small message with CRLF line ends, different at each call."""
    stamp = time.time_ns()
    body = "".join(f"{n:07d} {'x' * 60}\r\n" for n in range(size // 70))
    return (
        f"From: Ann <ann@example.test>\r\nTo: fred@example.test\r\nSubject: {subject}\r\n"
        f"Date: Sat, 01 Jan 2022 00:00:00 +0000\r\nMessage-ID: <{stamp}@example.test>\r\n"
        f"\r\nHello {stamp}.\r\n{body}"
    ).encode()

"""Auth and delivery as exim meets them: authdaemond's protocol over TCP, and LMTP."""

from pathlib import Path
from types import TracebackType
from typing import Self

from tests.contract.deploy_exim.harness import free_ports, loopback
from tests.support import System

FRED, ANN = "fred@example.test", "ann@example.test"
PASSWORD = "correct horse"


class Stack:
    """Both services on one data directory, at addresses that stay the same over restarts."""

    def __init__(self, top: Path, **extra: str) -> None:
        self.address = loopback()
        self.auth_port, self.lmtp_port = free_ports(self.address, 2)
        self.system = System(
            top,
            ("delivery",),
            {
                "RESTANTE_AUTH_AUTHDAEMON_LISTEN": f"{self.address}:{self.auth_port}",
                "RESTANTE_AUTH_THROTTLE_BASE_SECONDS": "0",
                "RESTANTE_DELIVERY_LMTP_LISTEN": f"{self.address}:{self.lmtp_port}",
                "RESTANTE_DELIVERY_HTTP_LISTEN": "",
                "RESTANTE_DELIVERY_LOOKUP_CACHE": "0",
                **extra,
            },
        )

    @property
    def environment(self) -> dict[str, str]:
        """What exim is to be told."""
        return {
            "EXIM_AUTH": f"{self.address}:{self.auth_port}",
            "EXIM_AUTH_TLS": "no",
            "EXIM_DELIVERY": f"{self.address}:{self.lmtp_port}",
        }

    def __enter__(self) -> Self:
        self.system.start()
        for address in (FRED, ANN):
            self.system.add_account(address, PASSWORD)
        self.system.add_account("full@example.test", PASSWORD, quota="1000S")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.system.stop()

    def mailbox(self, address: str = FRED) -> list[bytes]:
        """Return what lies in new/ of an account."""
        local, _, domain = address.partition("@")
        new = self.system.mail_root / domain / local[:1] / local[:2] / local / "Maildir/new"
        return [file.read_bytes() for file in sorted(new.iterdir())] if new.exists() else []

    def stored(self, text: str, address: str = FRED) -> list[bytes]:
        """Return the messages that hold a text."""
        return [message for message in self.mailbox(address) if text.encode() in message]

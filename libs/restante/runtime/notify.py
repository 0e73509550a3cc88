"""Telling the process that started a service that it is ready.

Two ways, both by the environment: RESTANTE_READY_FD, a file descriptor that gets one line
("ready", as s6 expects of a notification-fd) and, when it is a socket whose other end closes,
says that the supervisor is gone; and NOTIFY_SOCKET of systemd (sd_notify(3)). Over a socket a
service that cannot start says why, in one line: "failed TEXT".
"""

import contextlib
import os
import socket
import stat
from dataclasses import dataclass


@dataclass(slots=True)
class Notifier:
    """Where to tell; fd is watched for end of file, -1 when it cannot be."""

    fd: int = -1
    out: int = -1
    path: str = ""

    @classmethod
    def from_environment(cls) -> "Notifier":
        """Read and remove the two variables, so that no child of ours sees them."""
        notifier = cls(path=os.environ.pop("NOTIFY_SOCKET", ""))
        text = os.environ.pop("RESTANTE_READY_FD", "")
        if text.isdigit():
            with contextlib.suppress(OSError):
                mode = os.fstat(int(text)).st_mode
                os.set_inheritable(int(text), False)
                notifier.out = int(text)
                notifier.fd = int(text) if stat.S_ISSOCK(mode) else -1
        return notifier

    def ready(self) -> None:
        """The service accepts connections."""
        if self.out >= 0:
            with contextlib.suppress(OSError):
                os.write(self.out, b"ready\n")
        self._systemd(b"READY=1")

    def stopping(self) -> None:
        """The service drains."""
        self._systemd(b"STOPPING=1")

    def failed(self, reason: str) -> None:
        """The service cannot start."""
        if self.fd >= 0:
            with contextlib.suppress(OSError):
                os.write(self.fd, f"failed {reason}\n".encode("utf-8", "replace"))
        self._systemd(f"STATUS={reason}".encode("utf-8", "replace"))

    def close(self) -> None:
        """In a worker: this is the parent's business."""
        if self.out >= 0:
            os.close(self.out)
        self.fd = self.out = -1
        self.path = ""

    def _systemd(self, message: bytes) -> None:
        if not self.path:
            return
        address = "\0" + self.path[1:] if self.path.startswith("@") else self.path
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(message, address)

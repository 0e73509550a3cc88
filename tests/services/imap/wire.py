"""A small IMAP client that shows octets as they are."""

import re
import socket
import ssl
from collections.abc import Sequence
from types import TracebackType

_LITERAL = re.compile(rb"\{(\d+)\}\r\n\Z")


class Wire:
    """One connection. Lines are returned with their literals inside and without the last CRLF."""

    def __init__(
        self,
        address: tuple[str, int],
        *,
        tls: bool = False,
        timeout: float = 20,
        greet: bool = True,
    ) -> None:
        self.socket: socket.socket = socket.create_connection(address, timeout=timeout)
        if tls:
            self._wrap()
        self._buffer = b""
        self._tags = 0
        self.greeting = self.line() if greet else b""

    def _wrap(self) -> None:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket)

    def start_tls(self) -> None:
        """Do the handshake; the buffer must be empty."""
        assert not self._buffer
        self._wrap()

    def send(self, data: bytes) -> None:
        """Send octets as they are."""
        self.socket.sendall(data)

    def _raw_line(self) -> bytes:
        while b"\n" not in self._buffer:
            more = self.socket.recv(1 << 16)
            if not more:
                raise EOFError(self._buffer)
            self._buffer += more
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line + b"\n"

    def _octets(self, count: int) -> bytes:
        while len(self._buffer) < count:
            more = self.socket.recv(1 << 16)
            if not more:
                raise EOFError(self._buffer)
            self._buffer += more
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def line(self) -> bytes:
        """Return one response."""
        whole = self._raw_line()
        while found := _LITERAL.search(whole):
            whole += self._octets(int(found[1])) + self._raw_line()
        return whole.removesuffix(b"\r\n")

    def until(self, tag: bytes) -> list[bytes]:
        """Return responses up to and including the one with the tag."""
        out = []
        while True:
            out.append(self.line())
            if out[-1].startswith(tag + b" "):
                return out

    def start(self, command: bytes | str) -> bytes:
        """Send a command and return its tag."""
        self._tags += 1
        tag = b"t%d" % self._tags
        self.send(
            tag + b" " + (command.encode() if isinstance(command, str) else command) + b"\r\n"
        )
        return tag

    def run(self, command: bytes | str) -> list[bytes]:
        """Send a command; return its responses, the last one without its tag."""
        tag = self.start(command)
        lines = self.until(tag)
        lines[-1] = lines[-1][len(tag) + 1 :]
        return lines

    def ok(self, command: bytes | str) -> list[bytes]:
        """Run a command that must succeed; return its untagged responses."""
        *lines, last = self.run(command)
        assert last.startswith(b"OK"), (command, last)
        return lines

    def no(self, command: bytes | str) -> bytes:
        """Run a command that must be refused by NO; return the answer."""
        last = self.run(command)[-1]
        assert last.startswith(b"NO"), (command, last)
        return last

    def bad(self, command: bytes | str) -> bytes:
        """Run a command that must be refused by BAD; return the answer."""
        last = self.run(command)[-1]
        assert last.startswith(b"BAD"), (command, last)
        return last

    def append(self, mailbox: str, message: bytes, options: str = "") -> bytes:
        """APPEND with a non-synchronising literal; return the tagged answer."""
        tag = self.start(f"APPEND {mailbox} {options}{{{len(message)}+}}\r\n".encode()[:-2])
        self.send(message + b"\r\n")
        return self.until(tag)[-1][len(tag) + 1 :]

    def ended(self) -> bool:
        """True if the server closed the connection; what still came is dropped."""
        try:
            while self.socket.recv(1 << 16):
                pass
        except ConnectionError:
            pass
        return True

    def close(self) -> None:
        """Close without LOGOUT."""
        self.socket.close()

    def __enter__(self) -> "Wire":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def text(lines: Sequence[bytes]) -> str:
    """Return responses as one text, for "in" tests."""
    return b"\n".join(lines).decode("latin-1")

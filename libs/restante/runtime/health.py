"""Health and metrics over HTTP/1.0, served by a service's parent process.

The parent has no event loop (it forks workers at any time), so this is a small state machine on
its selector. Requests are one line and headers of at most 4 KiB; every answer closes.
"""

import contextlib
import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_MAX_REQUEST: Final = 4096
_MAX_CLIENTS: Final = 64
_PATIENCE: Final = 5.0  # seconds for a client to send its request and take the answer

Answer = tuple[int, str, bytes]  # status, content type, body
_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    503: "Service Unavailable",
}


@dataclass(slots=True)
class _Client:
    deadline: float
    request: bytes = b""
    reply: bytes = b""


class HealthServer:
    """Answers GET by path. `answer` maps a path to an Answer, or None for 404."""

    def __init__(
        self,
        sock: socket.socket,
        selector: selectors.BaseSelector,
        answer: Callable[[str], Answer | None],
    ) -> None:
        self._sock = sock
        self._selector = selector
        self._answer = answer
        self._clients: dict[socket.socket, _Client] = {}
        selector.register(sock, selectors.EVENT_READ, self._accept)

    def sockets(self) -> list[socket.socket]:
        """Every open socket, which a forked worker closes."""
        return [self._sock, *self._clients]

    def close(self) -> None:
        """Stop serving."""
        for client in tuple(self._clients):
            self._drop(client)
        self._selector.unregister(self._sock)
        self._sock.close()

    def tick(self) -> None:
        """Drop clients that take too long; called about once per second."""
        now = time.monotonic()
        for sock, client in tuple(self._clients.items()):
            if client.deadline < now:
                self._drop(sock)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            client, _ = self._sock.accept()
            if len(self._clients) >= _MAX_CLIENTS:
                client.close()
                return
            client.setblocking(False)
            self._clients[client] = _Client(time.monotonic() + _PATIENCE)
            self._selector.register(client, selectors.EVENT_READ, lambda: self._serve(client))

    def _serve(self, sock: socket.socket) -> None:
        client = self._clients[sock]
        try:
            if not client.reply:
                data = sock.recv(_MAX_REQUEST)
                client.request += data
                if not data:
                    self._drop(sock)
                    return
                if b"\r\n\r\n" not in client.request and len(client.request) < _MAX_REQUEST:
                    return
                client.reply = self._respond(client.request)
                self._selector.modify(sock, selectors.EVENT_WRITE, lambda: self._serve(sock))
            client.reply = client.reply[sock.send(client.reply) :]
            if not client.reply:
                self._drop(sock)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._drop(sock)

    def _respond(self, request: bytes) -> bytes:
        words = request.partition(b"\r\n")[0].split(b" ")
        status, kind, body = 400, "text/plain", b"bad request\n"
        if len(words) == 3 and b"\r\n\r\n" in request:
            if words[0] not in (b"GET", b"HEAD"):
                status, body = 405, b"only GET\n"
            else:
                path = words[1].partition(b"?")[0].decode("latin-1")
                found = self._answer(path)
                status, kind, body = found or (404, "text/plain", b"not found\n")
        head = (
            f"HTTP/1.0 {status} {_REASONS[status]}\r\nContent-Type: {kind}; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\n"
            "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
        )
        return head.encode("ascii") + (b"" if words[0] == b"HEAD" else body)

    def _drop(self, sock: socket.socket) -> None:
        self._clients.pop(sock, None)
        self._selector.unregister(sock)
        sock.close()

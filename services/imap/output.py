"""What a session has to say, gathered into large writes.

Rows are appended to a list and joined once per ~64 KiB, so that a FETCH of 100,000 messages is
a few hundred writes, never one of 20 MB; `breathe` waits while the client does not read and
gives the loop to others every ~2 ms of work.
"""

import asyncio
from collections.abc import Sequence
from time import perf_counter
from typing import Final, Protocol

from services.imap.metrics import SENT

CHUNK: Final = 64 * 1024
_SLICE: Final = 0.002  # seconds of work before others get their turn


class Sink(Protocol):
    """Where bytes go: the connection."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send."""

    async def drain(self) -> None:
        """Wait while the peer is too slow."""


class Output:
    """Buffered writing with back-pressure. Not for use by two tasks."""

    __slots__ = ("_parts", "_resumed", "_sink", "_size", "sent")

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._parts: list[bytes] = []
        self._size = 0
        self._resumed = perf_counter()
        self.sent = 0  # bytes so far, for the log

    def send(self, data: bytes) -> None:
        """Queue a whole line, or several."""
        self._parts.append(data)
        self._size += len(data)
        if self._size >= CHUNK:
            self.flush()

    def send_rows(self, rows: Sequence[bytes]) -> None:
        """Queue many lines at once."""
        self.send(b"".join(rows))

    def flush(self) -> None:
        """Hand everything queued to the connection."""
        if self._size:
            self._sink.write(self._parts[0] if len(self._parts) == 1 else b"".join(self._parts))
            self.sent += self._size
            SENT.value += self._size
            self._parts.clear()
            self._size = 0

    async def breathe(self) -> None:
        """Between rows of a long answer: back-pressure, and a turn for other sessions."""
        await self._sink.drain()
        if perf_counter() - self._resumed > _SLICE:
            await asyncio.sleep(0)
            self._resumed = perf_counter()

    def resumed(self) -> None:
        """Start a new slice: the task just came back from waiting."""
        self._resumed = perf_counter()

    async def stream(self, data: bytes) -> None:
        """Send a large body in chunks, waiting for the client between them."""
        self.flush()
        view = memoryview(data)
        for at in range(0, len(view), CHUNK):
            piece = view[at : at + CHUNK]
            self._sink.write(piece)
            self.sent += len(piece)
            SENT.value += len(piece)
            await self._sink.drain()

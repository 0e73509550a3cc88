"""Revocations, and questions for sessions, on their way to the open Watch streams.

A source (changes.py) publishes what it saw. While any source may miss something (`lost`, until
`found`) there are no streams: open ones end at once, new ones wait. So "synced", which each
stream says first and then every HEARTBEAT, is never said while something could go unnoticed.

Everything happens in one event loop: an entry and its position reach all streams in one step.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from restante.model import ErrorKind, MailError
from restante.rpc.auth.v1 import auth_pb2
from restante.rpc.revocation import Reason, Revocation, revocation_to_message
from services.auth import metrics

HEARTBEAT: Final = 1.0  # seconds
_BEHIND: Final = 100_000  # entries that a stream may lag behind

# For a stream that asks to go on from where nobody remembers.
_EVERYBODY: Final = Revocation("", Reason.KICKED)

Replay = Callable[[int], Awaitable[Sequence[tuple[int, Revocation]] | None]]
"""Returns the next entries after a position; None where they are no longer known."""


class _Stream:
    """What one Watch has not sent yet."""

    def __init__(self) -> None:
        self._entries: deque[auth_pb2.WatchResponse] = deque()
        self._wake = asyncio.Event()
        self.ended = False

    @property
    def behind(self) -> bool:
        return bool(self._entries)

    def put(self, entry: auth_pb2.WatchResponse) -> None:
        if len(self._entries) >= _BEHIND:
            self.end()
        else:
            self._entries.append(entry)
            self._wake.set()

    def end(self) -> None:
        self.ended = True
        self._wake.set()

    async def next(self) -> auth_pb2.WatchResponse | None:
        """Return the next entry; None after a HEARTBEAT without one, or at the end."""
        if not (self._entries or self.ended):
            self._wake.clear()
            try:
                async with asyncio.timeout(HEARTBEAT):
                    await self._wake.wait()
            except TimeoutError:
                return None
        return None if self.ended else self._entries.popleft()


class Hub:
    """All streams of this process."""

    def __init__(self) -> None:
        self.position = 0  # of the last entry that was published
        self.listeners: list[Callable[[Revocation, int], None]] = []  # hear all; never wait
        self._streams: set[_Stream] = set()
        self._lost: set[object] = set()
        self._calm = asyncio.Event()  # nothing is lost
        self._calm.set()
        self._closed = False
        metrics.STREAMS.follow(self, lambda hub: len(hub._streams))
        metrics.FOLLOWED.follow(self, lambda hub: not hub._lost)

    def sees(self, source: object) -> bool:
        """True while a source sees every change."""
        return source not in self._lost

    def publish(self, revocation: Revocation, position: int = 0) -> None:
        """Tell all streams; `position` 0 for what cannot be asked for again."""
        self.position = position or self.position
        metrics.REVOCATIONS.labels(revocation.reason.name.lower()).inc()
        entry = _entry(revocation, position)
        for stream in self._streams:
            stream.put(entry)
        for listener in self.listeners:
            listener(revocation, position)

    @property
    def calm(self) -> bool:
        """False while there can be no streams, since something may be missed."""
        return self._calm.is_set()

    def ask(self, request: str, only: str) -> int:
        """Ask the listener of every stream for its sessions; return how many were asked."""
        entry = auth_pb2.WatchResponse(report=request, report_only=only)
        open_ = [stream for stream in self._streams if not stream.ended]
        for stream in open_:
            stream.put(entry)
        return len(open_)

    def lost(self, source: object) -> None:
        """A source may miss changes from now on: all streams end."""
        self._lost.add(source)
        self._calm.clear()
        self._end_all()

    def found(self, source: object) -> None:
        """A source sees every change again."""
        self._lost.discard(source)
        if not self._lost:
            self._calm.set()

    def close(self) -> None:
        """End all streams, and new ones at once."""
        self._closed = True
        self._calm.set()
        self._end_all()

    async def watch(self, position: int, replay: Replay) -> AsyncIterator[auth_pb2.WatchResponse]:
        """Yield what a stream sends. Raises MailError(TEMPORARY) at its end."""
        while not self._calm.is_set():
            await self._calm.wait()
        stream = _Stream()
        if self._closed:
            stream.end()
        self._streams.add(stream)
        try:
            if position:
                async for entry in self._missed(position, self.position, replay):
                    yield entry
            while not stream.ended:
                # What the stream still holds has not been seen: the position waits for it.
                seen = 0 if stream.behind else self.position
                yield auth_pb2.WatchResponse(position=seen)
                while (told := await stream.next()) is not None:
                    yield told
        finally:
            self._streams.discard(stream)
        raise MailError(ErrorKind.TEMPORARY, "changes may be missed just now")

    async def _missed(
        self, position: int, until: int, replay: Replay
    ) -> AsyncIterator[auth_pb2.WatchResponse]:
        while position != until:
            entries = await replay(position) if position < until else None
            if not entries:
                yield _entry(_EVERYBODY, until)
                return
            for at, revocation in entries:
                if at > until:  # published to the stream meanwhile
                    return
                yield _entry(revocation, at)
                position = at

    def _end_all(self) -> None:
        for stream in self._streams:
            stream.end()


def _entry(revocation: Revocation, position: int) -> auth_pb2.WatchResponse:
    return auth_pb2.WatchResponse(position=position, revocation=revocation_to_message(revocation))

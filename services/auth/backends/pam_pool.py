"""Helper processes (pam_helper.py): a bounded number, killed when they take too long.

Processes and not threads: a thread that hangs in a PAM module is lost for ever, and modules do to
their process what they like (pam_unix changes the handler of SIGCHLD, others fork or leak).

Invariants: a question holds a helper for at most `timeout` seconds, waits for one at most as long,
and at most `queue` wait; whatever is not answered is TEMPORARY. A helper that hung, died or was
left in the middle of an answer is killed with everything that it started and never asked again. A
caller that is cancelled takes nobody's helper down: its question ends by itself.

No `kind` of question gets the last helper: where the modules of one PAM service hang, the others
are still served.
"""

import asyncio
import os
import signal
import socket
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from restante.model import ErrorKind, MailError
from restante.runtime.log import get_logger
from services.auth import metrics

log = get_logger(__name__)

_PROGRAM: Final = Path(__file__).with_name("pam_helper.py")
_LENGTH: Final = struct.Struct(">I")
_MAX_ANSWER: Final = 1 << 20
_QUESTIONS: Final = 2000  # then a helper is replaced, as modules leak
_STREAMS: Final = 2  # long answers at once, each by a helper beside the others
_ENVIRONMENT: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}

Fields = list[bytes]


class Helper:
    """One process. Used by one question at a time."""

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.process = process
        self.asked = 0
        self._reader, self._writer = reader, writer

    @classmethod
    async def start(cls, program: Path, seconds: float) -> "Helper":
        """Start one whose own alarm is a little over `seconds`. Raises OSError."""
        ours, theirs = socket.socketpair()
        try:
            process = await asyncio.to_thread(_spawn, program, seconds, theirs)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=_MAX_ANSWER)
        return cls(process, reader, writer)

    async def ask(self, fields: Fields) -> Fields:
        """Return the answer. Raises OSError, EOFError, ValueError where the helper is no good."""
        self.asked += 1
        data = b"\0".join(fields)
        self._writer.write(_LENGTH.pack(len(data)) + data)
        return await self.more()

    async def more(self) -> Fields:
        """Return the next frame of an answer; errors as `ask`."""
        (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
        if length > _MAX_ANSWER:
            raise ValueError("the answer is too long")
        return (await self._reader.readexactly(length)).split(b"\0")

    def kill(self) -> None:
        """End it and everything that its modules started (pam_exec gives that its own session)."""
        self._writer.transport.abort()
        if self.process.poll() is None:
            for pid in (*_descendants(self.process.pid), self.process.pid):
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)


class HelperPool:
    """Helpers, started when first needed."""

    def __init__(
        self, name: str, *, size: int, queue: int, timeout: float, program: Path = _PROGRAM
    ) -> None:
        """`name` is for the log; `timeout` in seconds."""
        self._name, self._size, self._queue, self._timeout = name, size, queue, timeout
        self._program = program
        self._idle: list[Helper] = []
        self._all: set[Helper] = set()
        self._ended: list[subprocess.Popen[bytes]] = []
        self._questions: set[asyncio.Task[Fields]] = set()
        self._kinds: Counter[bytes] = Counter()
        self._changed = asyncio.Condition()
        self._streams = asyncio.Semaphore(_STREAMS)
        self._busy = 0
        self._closed = False
        metrics.PAM_HELPERS.follow(self, lambda pool: pool._busy, "busy")
        metrics.PAM_HELPERS.follow(self, lambda pool: len(pool._idle), "idle")
        metrics.PAM_WAITING.follow(self, lambda pool: len(pool._questions) - pool._busy)

    async def ask(self, kind: bytes, *fields: bytes) -> Fields:
        """Return a helper's answer to `fields`. Raises MailError(TEMPORARY)."""
        if self._closed or len(self._questions) >= self._size + self._queue:
            raise _temporary(f"too many questions wait for {self._name}")
        task = asyncio.get_running_loop().create_task(self._answer(kind, list(fields)))
        self._questions.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    async def stream(self, *fields: bytes) -> AsyncIterator[Fields]:
        """Yield an answer of many frames, by a helper of its own. Raises MailError(TEMPORARY).

        It ends with the frame that begins with "none"; `timeout` is for each frame.
        """
        async with self._streams:
            helper = await self._start()
            try:
                frame = await self._within(helper.ask(list(fields)))
                while frame[0] != b"none":
                    yield frame
                    frame = await self._within(helper.more())
            finally:
                self._discard(helper)

    async def close(self) -> None:
        """Kill all helpers; questions under way are TEMPORARY."""
        self._closed = True
        for helper in list(self._all):
            self._discard(helper)
        await asyncio.gather(*self._questions, return_exceptions=True)
        for process in self._ended:
            await asyncio.to_thread(process.wait)  # killed: it ends at once
        self._ended = []

    async def _answer(self, kind: bytes, fields: Fields) -> Fields:
        await self._enter(kind)
        try:
            while self._idle:
                helper = self._idle.pop()
                if helper.process.poll() is None:
                    break
                self._discard(helper)
            else:
                helper = await self._start()
            try:
                answer = await self._within(helper.ask(fields))
            except BaseException:
                self._discard(helper)
                raise
            if self._closed or helper.asked >= _QUESTIONS:
                self._discard(helper)
            else:
                self._idle.append(helper)
            return answer
        finally:
            async with self._changed:
                self._busy -= 1
                self._kinds[kind] -= 1
                if not self._kinds[kind]:
                    del self._kinds[kind]
                self._changed.notify_all()

    async def _enter(self, kind: bytes) -> None:
        """Wait for a free helper; counts the caller in."""
        limit = max(1, self._size - 1)
        try:
            async with asyncio.timeout(self._timeout), self._changed:
                await self._changed.wait_for(
                    lambda: self._busy < self._size and self._kinds[kind] < limit
                )
                self._busy += 1
                self._kinds[kind] += 1
        except TimeoutError:
            raise _temporary(f"{self._name} is busy") from None

    async def _within(self, waiting: Awaitable[Fields]) -> Fields:
        try:
            async with asyncio.timeout(self._timeout):
                return await waiting
        except TimeoutError:
            metrics.PAM_FAILURES.inc()
            log.warning("killed: no answer in time", who=self._name, seconds=self._timeout)
            raise _temporary(f"{self._name} did not answer in time") from None
        except (OSError, EOFError, ValueError, struct.error) as error:
            metrics.PAM_FAILURES.inc()
            log.warning("a helper died", who=self._name, error=type(error).__name__)
            raise _temporary(f"{self._name} did not answer") from error

    async def _start(self) -> Helper:
        self._ended = [process for process in self._ended if process.poll() is None]
        try:
            helper = await Helper.start(self._program, self._timeout)
        except OSError as error:
            raise _temporary(f"no process for {self._name}: {error.strerror}") from error
        self._all.add(helper)
        if self._closed:
            self._discard(helper)
            raise _temporary(f"{self._name} is closed")
        return helper

    def _discard(self, helper: Helper) -> None:
        if helper in self._all:
            self._all.discard(helper)
            helper.kill()
            self._ended.append(helper.process)

    def _done(self, task: "asyncio.Task[Fields]") -> None:
        self._questions.discard(task)
        if not task.cancelled():
            task.exception()  # looked at: the caller may be gone


def _spawn(program: Path, seconds: float, theirs: socket.socket) -> "subprocess.Popen[bytes]":
    # -I: the directory of the program is not searched for modules, where a pam.py lies.
    return subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-I", str(program), str(int(seconds) + 2)],
        stdin=theirs.fileno(),
        stdout=subprocess.DEVNULL,
        env=_ENVIRONMENT,
        start_new_session=True,
    )


def _descendants(pid: int) -> Iterator[int]:
    """Yield the processes below one whose processes have one thread each."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # gone, or a kernel that does not tell
        return
    for child in children:
        yield from _descendants(int(child))
        yield int(child)


def _temporary(text: str) -> MailError:
    return MailError(ErrorKind.TEMPORARY, text)

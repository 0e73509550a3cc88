"""Programs that answer questions on their standard input and output: a few, long-lived.

Invariants
- A child has one question at a time. One that hung, died, said something nobody asked for, or was
  left in the middle of an answer, is killed with its process group and never asked again; the next
  question starts another.
- Every question has a deadline, the wait for a free child included.
- A caller that goes away takes no child down: its question ends by itself.
- A child gets its three standard files, a bare environment, and nothing else of ours; what it
  says on its standard error is logged.
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

from restante.model import MailError
from restante.runtime.log import get_logger
from services.auth.backends.directory_contract import MAX_ANSWER, away

log = get_logger(__name__)

_ENVIRONMENT: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}
_GRACE: Final = 1.0  # seconds between the end of its input and SIGKILL
_MAX_AHEAD: Final = 4 * MAX_ANSWER  # bytes of output that are read before they are asked for
_MAX_SAID: Final = 1000  # bytes of a line on the standard error

T = TypeVar("T")


class ChildError(Exception):
    """The child is no good any more."""


class _Pipe(asyncio.Protocol):
    """One of the program's outputs."""

    def __init__(self, take: Callable[[bytes], None], ended: Callable[[], None]) -> None:
        self._take, self._ended = take, ended

    def data_received(self, data: bytes) -> None:
        """Hand on."""
        self._take(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Say that nothing comes any more."""
        self._ended()


class Child:
    """One running program."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        """Made by `start`."""
        self._process = process
        self._output, self._said = bytearray(), bytearray()
        self._more, self._ended = asyncio.Event(), asyncio.Event()
        self._paused = False
        self._stdin: asyncio.WriteTransport | None = None
        self._outputs: list[asyncio.ReadTransport] = []

    @classmethod
    async def start(cls, command: Sequence[str]) -> "Child":
        """Start a program. Raises ChildError."""
        try:
            process = await asyncio.to_thread(_spawn, command)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise ChildError(f"cannot be started: {reason}") from error
        made = cls(process)
        try:
            await made._connect()
        except BaseException:
            made.kill()
            raise
        return made

    @property
    def fit(self) -> bool:
        """True where it lives and has said nothing unasked."""
        return not (self._ended.is_set() or self._output) and self._process.poll() is None

    def send(self, data: bytes) -> None:
        """Write a question; whether it arrives shows in the answer."""
        if self._stdin is not None and not self._stdin.is_closing():
            self._stdin.write(data)

    async def line(self) -> bytes:
        """Return the next line without its end. Raises ChildError."""
        while (end := self._output.find(b"\n")) < 0:
            if len(self._output) > MAX_ANSWER:
                raise ChildError("says too much")
            if self._ended.is_set():
                raise ChildError("died")
            self._more.clear()
            await self._more.wait()
        if end > MAX_ANSWER:
            raise ChildError("says too much")
        found = bytes(self._output[:end])
        del self._output[: end + 1]
        if self._paused and len(self._output) < MAX_ANSWER:
            self._paused = False
            self._outputs[0].resume_reading()
        return found

    def kill(self) -> None:
        """End it and what it started, now."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def end(self, grace: float = _GRACE) -> None:
        """Let it see the end of its input; kill it where it stays."""
        if self._stdin is not None:
            self._stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._ended.wait()
        self.kill()
        await asyncio.to_thread(self._process.wait)  # it ends at once
        for pipe in self._outputs:
            pipe.close()  # what it started may still hold the other ends

    async def _connect(self) -> None:
        loop, process = asyncio.get_running_loop(), self._process
        output, said = _Pipe(self._take, self._end), _Pipe(self._log, lambda: None)
        for pipe, protocol in ((process.stdout, output), (process.stderr, said)):
            transport, _ = await loop.connect_read_pipe(partial(_itself, protocol), pipe)
            self._outputs.append(transport)
        stdin, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, process.stdin)
        self._stdin = stdin

    def _take(self, data: bytes) -> None:
        self._output += data
        self._more.set()
        if len(self._output) > _MAX_AHEAD and not self._paused:
            self._paused = True
            self._outputs[0].pause_reading()

    def _end(self) -> None:
        self._ended.set()
        self._more.set()

    def _log(self, data: bytes) -> None:
        *lines, rest = (bytes(self._said) + data).split(b"\n")
        self._said[:] = rest[:_MAX_SAID]
        for line in lines:
            text = line[:_MAX_SAID].decode("utf-8", "replace")
            log.info("the program says", module="pipe", pid=self._process.pid, text=text)


def _spawn(command: Sequence[str]) -> "subprocess.Popen[bytes]":
    # Not the event loop's own way: uvloop lets a child inherit files.
    return subprocess.Popen(  # noqa: S603 - the administrator's own program, no shell
        command,
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_ENVIRONMENT,
        cwd="/",
        start_new_session=True,
    )


Work = Callable[[Child], Awaitable[T]]


class ChildPool:
    """Children of one command, started when they are needed."""

    def __init__(self, command: Sequence[str], *, size: int, seconds: float) -> None:
        """`seconds` bounds each question."""
        self._command, self._seconds = tuple(command), seconds
        self._places = asyncio.Semaphore(size)
        self._idle: list[Child] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def run(self, work: Work[T], *, again: bool) -> T:
        """Let `work` question a child; `again`: asking twice does no harm.

        Raises MailError(TEMPORARY).
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._spawn(self._answer(work, again, answer))
        return await asyncio.shield(answer)

    async def stream(self, question: bytes) -> AsyncGenerator[bytes, None]:
        """Yield lines of a child of its own. Raises MailError(TEMPORARY)."""
        child: Child | None = None
        try:
            async with asyncio.timeout(self._seconds):
                child = await Child.start(self._command)
                child.send(question)
            while True:
                async with asyncio.timeout(self._seconds):
                    line = await child.line()
                yield line
        except ChildError as error:
            raise _fault(str(error)) from error
        except TimeoutError as error:
            raise _fault("no answer in time") from error
        finally:
            if child is not None:
                child.kill()
                self._spawn(child.end(0))

    async def close(self) -> None:
        """End all children; questions under way end by their deadline."""
        self._closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*(child.end() for child in idle))
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def _answer(self, work: Work[T], again: bool, answer: "asyncio.Future[T]") -> None:
        try:
            async with asyncio.timeout(self._seconds), self._places:
                answer.set_result(await self._asked(work, again))
        except TimeoutError:
            answer.set_exception(_fault("no answer in time"))
        except ChildError as error:
            answer.set_exception(_fault(str(error)))
        except Exception as error:  # noqa: BLE001 - whoever asked gets to know
            answer.set_exception(error)
        if not answer.cancelled():
            answer.exception()  # looked at: whoever asked may be gone

    async def _asked(self, work: Work[T], again: bool) -> T:
        child = self._kept()
        if child is None:
            return await self._with(await Child.start(self._command), work)
        try:
            return await self._with(child, work)
        except ChildError:
            # It may have ended since its last answer, as some do after each.
            if not again:
                raise
            return await self._with(await Child.start(self._command), work)

    async def _with(self, child: Child, work: Work[T]) -> T:
        try:
            done = await work(child)
        except BaseException:
            self._discard(child)
            raise
        if child.fit and not self._closed:
            self._idle.append(child)
        else:
            self._discard(child)
        return done

    def _kept(self) -> Child | None:
        while self._idle:
            child = self._idle.pop()
            if child.fit:
                return child
            self._discard(child)
        return None

    def _discard(self, child: Child) -> None:
        child.kill()
        self._spawn(child.end(0))

    def _spawn(self, work: "Awaitable[None]") -> None:
        async def run() -> None:
            await work

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _fault(reason: str) -> MailError:
    log.warning("the directory does not answer", module="pipe", reason=reason)
    return away()


def _itself(protocol: _Pipe) -> _Pipe:
    return protocol

"""Several services as children of one process, for machines without a container platform.

Each child is what a container would run. Its lines go to one output, marked with its name. It
says that it is ready through a socket (notify.py) whose other end this process holds: a child
whose supervisor is killed sees its end and drains.

- Before all are ready, the first child that ends or does not get ready in time fails the start.
- Afterwards a child that ends is started again: after 0.5 s; one that ends before it was ready,
  after twice as long each time, up to 15 s.
- stop() drains all but the last-to-stop, then these; what does not end in time is killed.

Children get a process group of their own, so that Ctrl-C reaches them through us alone.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

_FIRST_PAUSE: Final = 0.5  # seconds
_LONGEST_PAUSE: Final = 15.0
_ORPHANS: Final = 5.0  # seconds for workers that outlive their parent
_LINE_LIMIT: Final = 1 << 16  # bytes of one line of a child's output
_TAIL: Final = 15  # lines of a child that are kept for an error


class StartError(Exception):
    """A child did not get ready. The text names it and says why, in one line."""

    def __init__(self, text: str, tail: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.text = text
        self.tail = tuple(tail)  # its last lines, where the text alone does not explain it


@dataclass
class _Child:
    name: str
    command: Sequence[str]
    ready: bool = False  # the process that runs or ran last
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=_TAIL))
    process: asyncio.subprocess.Process | None = None
    reason: str = ""  # its own words for why it cannot start
    task: asyncio.Task[None] | None = None


class Supervisor:
    """Runs children inside one event loop."""

    def __init__(self, emit: Callable[[str, str], None], environment: Mapping[str, str]) -> None:
        """`emit(name, line)` shows one line of a child; `environment` is that of all children."""
        self._emit = emit
        self._environment = dict(environment)
        self._children: list[_Child] = []
        self._started: asyncio.Future[StartError | None]
        self._up = False
        self._stopping = asyncio.Event()

    async def start(self, commands: Mapping[str, Sequence[str]], seconds: float) -> None:
        """Start all children and wait until all are ready. Raises StartError."""
        loop = asyncio.get_running_loop()
        self._started = loop.create_future()
        self._children = [_Child(name, command) for name, command in commands.items()]
        for child in self._children:
            child.task = loop.create_task(self._look_after(child))
        await asyncio.wait({self._started}, timeout=seconds)
        if not self._started.done():
            late = [child for child in self._children if not child.ready]
            names = ", ".join(child.name for child in late)
            self._started.cancel()
            raise StartError(f"not ready within {seconds:g} s: {names}", late[0].tail)
        failure = self._started.result()
        if failure is not None:
            raise failure
        self._up = True

    async def stop(self, seconds: float, last: Sequence[str] = ()) -> None:
        """Drain every child, those named in `last` after the others; kill after `seconds`."""
        self._stopping.set()
        first = [child for child in self._children if child.name not in last]
        rest = [child for child in self._children if child.name in last]
        for group in (first, rest):
            tasks = [child.task for child in group if child.task is not None]
            self._signal(group, signal.SIGTERM)
            if tasks:
                _, late = await asyncio.wait(tasks, timeout=seconds)
                if late:
                    self._kill_groups(group)
                    await asyncio.wait(late, timeout=5)

    def hurry(self) -> None:
        """Let no child wait for its sessions any longer."""
        self._signal(self._children, signal.SIGTERM)

    def pids(self) -> dict[str, int]:
        """Return the running children."""
        return {
            child.name: child.process.pid
            for child in self._children
            if child.process is not None and child.process.returncode is None
        }

    def _signal(self, children: Sequence[_Child], number: int) -> None:
        for child in children:
            if child.process is not None and child.process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    child.process.send_signal(number)

    def _kill_groups(self, children: Sequence[_Child]) -> None:
        for child in children:
            if child.process is not None and child.process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.process.pid, signal.SIGKILL)

    async def _look_after(self, child: _Child) -> None:
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            child.ready = False
            code = await self._run_once(child)
            if self._stopping.is_set():
                return
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            if not self._up:
                self._fail(child, how)
                return
            pause = _FIRST_PAUSE if child.ready else min(pause * 2, _LONGEST_PAUSE)
            self._emit(child.name, f"ended with {how}; started again in {pause:g} s")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()

    def _fail(self, child: _Child, how: str) -> None:
        if child.reason:
            failure = StartError(f"{child.name}: {child.reason}")
        else:
            failure = StartError(f"{child.name} ended with {how}", child.tail)
        if not self._started.done():
            self._started.set_result(failure)

    async def _run_once(self, child: _Child) -> int:
        """Run one process of the child to its end; return its exit code."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            try:
                child.process = await asyncio.create_subprocess_exec(
                    *child.command,
                    env={**self._environment, "RESTANTE_READY_FD": str(theirs.fileno())},
                    pass_fds=(theirs.fileno(),),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.STDOUT,
                    limit=_LINE_LIMIT,
                    start_new_session=True,
                )
            finally:
                theirs.close()
            listening = asyncio.ensure_future(self._listen(child, ours))
            try:
                if self._stopping.is_set():  # stop() came while the process was being made
                    self._signal([child], signal.SIGTERM)
                return await self._until_end(child, child.process)
            finally:
                listening.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await listening

    async def _until_end(self, child: _Child, process: asyncio.subprocess.Process) -> int:
        """Wait for the process and its workers, which hold its output open."""
        stream = cast(asyncio.StreamReader, process.stdout)  # it is a pipe
        copying = asyncio.ensure_future(self._copy_output(child, stream))
        code = await process.wait()
        # Workers whose parent was killed drain by themselves, but a new one needs their ports.
        _, late = await asyncio.wait({copying}, timeout=_ORPHANS)
        if late:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        await copying
        return code

    async def _listen(self, child: _Child, sock: socket.socket) -> None:
        """Hear "ready" or "failed ..." until the child closes its end."""
        loop = asyncio.get_running_loop()
        unread = b""
        while data := await loop.sock_recv(sock, 4096):
            *lines, unread = (unread + data).split(b"\n")
            for line in lines:
                word, _, rest = line.decode("utf-8", "replace").partition(" ")
                if word == "failed":
                    child.reason = rest
                elif word == "ready":
                    child.ready = True
                    if not self._started.done() and all(c.ready for c in self._children):
                        self._started.set_result(None)

    async def _copy_output(self, child: _Child, stream: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await stream.readuntil(b"\n")
            except asyncio.IncompleteReadError as end:
                line = end.partial
                if not line:
                    return
            except asyncio.LimitOverrunError as overrun:
                line = await stream.readexactly(min(overrun.consumed, _LINE_LIMIT))
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            child.tail.append(text)
            self._emit(child.name, text)


def python_module(*words: str) -> tuple[str, ...]:
    """Return the command that runs a module with this interpreter."""
    return (sys.executable, "-m", *words)

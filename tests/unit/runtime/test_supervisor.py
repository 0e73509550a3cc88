"""The supervisor, with children of a few lines."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from restante.runtime.supervisor import StartError, Supervisor

# Says ready, then waits for SIGTERM or for the supervisor's end; a word chooses a fault.
CHILD = r"""
import os, select, signal, socket, sys
fault, = sys.argv[1:]
print("hello from", fault, flush=True)
sock = socket.socket(fileno=int(os.environ["RESTANTE_READY_FD"]))
if fault == "failed":
    sock.sendall(b"failed cannot listen on 127.0.0.1:1: in use\n")
    sys.exit(1)
if fault == "exit":
    print("Traceback: something", flush=True)
    sys.exit(7)
signal.signal(signal.SIGTERM, lambda *_: (print("drained", flush=True), sys.exit(0)))
if fault == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if fault == "long":
    sys.stdout.write("x" * 200_000 + "\nlast\n")
    sys.stdout.flush()
if fault != "silent":
    sock.sendall(b"ready\n")
if fault == "once":
    sys.exit(0)
if fault == "deaf":
    while True:
        signal.pause()
select.select([sock], [], [])
print("orphaned", flush=True)
"""


class Output:
    """Collects lines and lets a test wait for one."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self._changed = asyncio.Event()

    def __call__(self, name: str, line: str) -> None:
        self.lines.append((name, line))
        self._changed.set()

    async def until(self, part: str, count: int = 1) -> None:
        async with asyncio.timeout(20):
            while sum(part in line for _, line in self.lines) < count:
                self._changed.clear()
                await self._changed.wait()


def commands(*faults: str) -> dict[str, tuple[str, ...]]:
    return {fault: (sys.executable, "-c", CHILD, fault) for fault in faults}


def make() -> tuple[Output, Supervisor]:
    output = Output()
    return output, Supervisor(output, os.environ)


async def test_start_and_stop_in_order() -> None:
    output, supervisor = make()
    await supervisor.start(commands("a", "b", "auth"), 20)
    assert set(supervisor.pids()) == {"a", "b", "auth"}
    await supervisor.stop(10, last=("auth",))
    assert supervisor.pids() == {}
    drained = [name for name, line in output.lines if line == "drained"]
    assert set(drained) == {"a", "b", "auth"}
    assert drained[-1] == "auth"
    assert ("a", "hello from a") in output.lines


async def test_reason_of_a_child_that_cannot_start_is_one_line() -> None:
    _, supervisor = make()
    with pytest.raises(StartError) as caught:
        await supervisor.start(commands("a", "failed"), 20)
    assert caught.value.text == "failed: cannot listen on 127.0.0.1:1: in use"
    assert caught.value.tail == ()
    await supervisor.stop(10)
    assert supervisor.pids() == {}


async def test_child_that_just_ends_is_named_with_its_last_lines() -> None:
    _, supervisor = make()
    with pytest.raises(StartError) as caught:
        await supervisor.start(commands("exit", "a"), 20)
    assert caught.value.text == "exit ended with exit code 7"
    assert caught.value.tail == ("hello from exit", "Traceback: something")
    await supervisor.stop(10)


async def test_child_that_does_not_get_ready_in_time() -> None:
    output, supervisor = make()
    starting = asyncio.ensure_future(supervisor.start(commands("silent", "a"), 1.5))
    await output.until("hello from silent")
    with pytest.raises(StartError) as caught:
        await starting
    assert "silent" in caught.value.text
    assert "hello from silent" in caught.value.tail
    await supervisor.stop(10)
    assert supervisor.pids() == {}


async def test_dead_child_is_started_again() -> None:
    output, supervisor = make()
    await supervisor.start(commands("a", "b"), 20)
    before = supervisor.pids()
    os.kill(before["a"], signal.SIGKILL)
    await output.until("ended with signal 9; started again")
    await output.until("hello from a", 2)
    after = supervisor.pids()
    assert after["a"] != before["a"]
    assert after["b"] == before["b"]
    await supervisor.stop(10)


async def test_stop_ends_the_pause_before_a_restart() -> None:
    output, supervisor = make()
    await supervisor.start(commands("a", "b"), 20)
    os.kill(supervisor.pids()["a"], signal.SIGKILL)
    await output.until("started again")
    await supervisor.stop(10)
    assert supervisor.pids() == {}
    assert output.lines.count(("a", "hello from a")) == 1


async def test_child_that_ends_after_it_was_ready_fails_the_start() -> None:
    _, supervisor = make()
    with pytest.raises(StartError, match="once ended with exit code 0"):
        await supervisor.start(commands("once", "silent"), 20)
    await supervisor.stop(10)


async def test_child_that_does_not_end_is_killed() -> None:
    _, supervisor = make()
    await supervisor.start(commands("deaf"), 20)
    await supervisor.stop(0.3)
    assert supervisor.pids() == {}


async def test_long_lines_pass_in_pieces() -> None:
    output, supervisor = make()
    await supervisor.start(commands("long"), 20)
    await output.until("last")
    await supervisor.stop(10)
    assert sum(line.count("x") for _, line in output.lines) == 200_000
    assert max(len(line) for _, line in output.lines) <= 65536


def test_children_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    """Their end is seen on a pipe that only they hold open."""
    script = f"""
import asyncio, os, sys
from restante.runtime.supervisor import Supervisor
async def main():
    supervisor = Supervisor(lambda name, line: None, os.environ)
    await supervisor.start({{"a": (sys.executable, "-c", {CHILD!r}, "a")}}, 20)
    print(supervisor.pids()["a"], flush=True)
    os.kill(os.getpid(), 9)
asyncio.run(main())
"""
    import subprocess

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == -9
    pid = int(done.stdout)
    handle = os.pidfd_open(pid) if Path(f"/proc/{pid}").exists() else -1
    if handle >= 0:
        import select

        poll = select.poll()
        poll.register(handle, select.POLLIN)
        readable = poll.poll(20_000)
        os.close(handle)
        assert readable, "the child has not ended"

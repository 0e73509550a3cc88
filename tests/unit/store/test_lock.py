"""Locks between threads, descriptors and processes."""

import errno
import fcntl
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from restante.model import ErrorKind, MailError
from restante.store import lock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.write_bytes(b"0")
    return path


@pytest.fixture(params=["ofd", "posix"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """With the kernel's open-file-description locks, and where there are none."""
    if request.param == "posix":
        real = fcntl.fcntl

        def without_ofd(fd: int, command: int, argument: bytes) -> object:
            if command == fcntl.F_OFD_SETLK:
                raise OSError(errno.EINVAL, "no such lock")
            return real(fd, command, argument)

        monkeypatch.setattr(fcntl, "fcntl", without_ofd)
    yield request.param
    assert not lock._mutexes  # nothing is kept for files that nobody locks


def increment(path: Path, times: int) -> None:
    for _ in range(times):
        fd = os.open(path, os.O_RDWR)
        try:
            with lock.locked(fd):
                value = int(os.pread(fd, 20, 0))
                os.pwrite(fd, str(value + 1).encode(), 0)
        finally:
            os.close(fd)


def test_threads_with_descriptors_of_their_own(path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        for job in [pool.submit(increment, path, 50) for _ in range(8)]:
            job.result()
    assert path.read_bytes() == b"400"


def test_threads_that_share_a_descriptor(path: Path, kind: str) -> None:
    fd = os.open(path, os.O_RDWR)

    def work() -> None:
        for _ in range(50):
            with lock.locked(fd):
                value = int(os.pread(fd, 20, 0))
                os.pwrite(fd, str(value + 1).encode(), 0)

    with ThreadPoolExecutor(8) as pool:
        for job in [pool.submit(work) for _ in range(8)]:
            job.result()
    os.close(fd)
    assert path.read_bytes() == b"400"


def test_processes(path: Path, kind: str) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=increment, args=(path, 100)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert path.read_bytes() == b"400"


def _hold(path: Path, pipe: Connection) -> None:
    fd = os.open(path, os.O_RDWR)
    with lock.locked(fd):
        pipe.send("held")
        pipe.recv()


def test_timeout_while_another_process_holds_it(path: Path, kind: str) -> None:
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    holder = context.Process(target=_hold, args=(path, there))
    holder.start()
    assert here.recv() == "held"
    fd = os.open(path, os.O_RDWR)
    with pytest.raises(MailError) as caught, lock.locked(fd, timeout=0.05):
        raise AssertionError("entered")
    assert caught.value.kind is ErrorKind.TEMPORARY
    holder.kill()  # the kernel gives the lock back with the process
    holder.join()
    with lock.locked(fd, timeout=5):
        pass
    os.close(fd)


def test_timeout_while_another_thread_holds_it(path: Path, kind: str) -> None:
    fd, other = (os.open(path, os.O_RDWR) for _ in range(2))
    started = time.monotonic()
    with lock.locked(fd):
        result: list[ErrorKind] = []

        def attempt() -> None:
            try:
                with lock.locked(other, timeout=0.05):
                    pass
            except MailError as error:
                result.append(error.kind)

        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()
    assert result == [ErrorKind.TEMPORARY]
    assert time.monotonic() - started < 30
    for each in (fd, other):
        os.close(each)


def test_another_descriptor_may_be_closed_meanwhile(path: Path) -> None:
    fd = os.open(path, os.O_RDWR)
    with lock.locked(fd):
        os.close(os.open(path, os.O_RDWR))
        context = multiprocessing.get_context("fork")
        here, there = context.Pipe()
        other = context.Process(target=_hold, args=(path, there))
        other.start()
        assert not here.poll(0.1)
    assert here.recv() == "held"
    here.send("go")
    other.join()
    os.close(fd)


def test_an_exception_gives_it_back(path: Path, kind: str) -> None:
    fd = os.open(path, os.O_RDWR)
    with pytest.raises(KeyError), lock.locked(fd):
        raise KeyError
    with lock.locked(fd, timeout=0):
        pass
    os.close(fd)


def test_a_file_system_without_locks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    fd = os.open(path, os.O_RDWR)
    with pytest.raises(MailError) as caught, lock.locked(fd):
        raise AssertionError("entered")
    assert caught.value.kind is ErrorKind.TEMPORARY
    os.close(fd)

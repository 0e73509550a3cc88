"""Deliveries, with every system call failing in its turn."""

import errno
import os
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from restante.model import INBOX, ErrorKind, MailError
from restante.store import delivery, durable
from restante.store.account import AccountStore
from restante.store.delivery import SMALL, Incoming
from tests.unit.store.delivering import (
    assert_clean,
    failing,
    files,
    fred,
    incoming,
    store,
)

__all__ = ["fred", "store"]  # fixtures


def is_file(fd: int, *_: object) -> bool:
    return stat.S_ISREG(os.fstat(fd).st_mode)


FAULTS = [
    ("write", errno.ENOSPC, ErrorKind.TEMPORARY),
    ("write", errno.EDQUOT, ErrorKind.OVER_QUOTA),
    ("write", errno.EIO, ErrorKind.TEMPORARY),
    ("fsync", errno.EIO, ErrorKind.TEMPORARY),
    ("fsync", errno.ENOSPC, ErrorKind.TEMPORARY),
    ("fsync", errno.EDQUOT, ErrorKind.OVER_QUOTA),
]


@pytest.mark.parametrize(("call", "code", "kind"), FAULTS)
@pytest.mark.parametrize("size", [10, SMALL * 2])
@pytest.mark.parametrize("last", [True, False])
def test_a_fault_before_the_message_is_complete(
    fred: AccountStore,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    code: int,
    kind: ErrorKind,
    size: int,
    last: bool,
) -> None:
    fred.handles.release(fred.acquire(INBOX))
    with monkeypatch.context() as patch:
        failing(patch, call, code, on=is_file)
        message = Incoming(fred)

        def attempt() -> None:
            message.write(b"x" * size)
            message.deliver(fred, last=last)

        with pytest.raises(MailError) as caught:
            attempt()
        message.abort()
    assert caught.value.kind is kind
    assert_clean(fred)


@pytest.mark.parametrize("size", [10, SMALL * 2])
def test_close_reports_what_fsync_did_not(
    fred: AccountStore, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    fred.handles.release(fred.acquire(INBOX))
    message = incoming(fred, b"x" * size)
    real = os.close

    def close(fd: int) -> None:
        regular = is_file(fd)
        real(fd)
        if regular:
            raise OSError(errno.EDQUOT, "at close")

    with monkeypatch.context() as patch:
        patch.setattr(os, "close", close)
        with pytest.raises(MailError) as caught:
            message.deliver(fred, last=True)
    assert caught.value.kind is ErrorKind.OVER_QUOTA
    message.abort()
    assert_clean(fred)


@pytest.mark.parametrize("size", [10, 5000, SMALL * 2])
def test_short_writes(fred: AccountStore, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: real(fd, data[: max(1, len(data) // 3)]))
        data = os.urandom(size).replace(b"\n", b"x")
        done = incoming(fred, data).deliver(fred, last=True)
    assert (fred.maildir / "new" / done.filename).read_bytes() == data


def test_a_write_that_gets_nowhere_ends(
    fred: AccountStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter([3])
    monkeypatch.setattr(os, "write", lambda _fd, _data: next(calls, 0))
    with pytest.raises(MailError) as caught:
        incoming(fred).deliver(fred, last=True)
    assert caught.value.kind is ErrorKind.TEMPORARY


@pytest.mark.parametrize("call", ["rename", "link"])
def test_a_fault_of_the_last_step(
    fred: AccountStore, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    fred.handles.release(fred.acquire(INBOX))
    message = incoming(fred)
    with monkeypatch.context() as patch:
        failing(patch, call, errno.EIO)
        with pytest.raises(MailError) as caught:
            message.deliver(fred, last=call == "rename")
    assert caught.value.kind is ErrorKind.TEMPORARY
    message.abort()
    assert_clean(fred)


def test_unlink_errors_are_ignored(fred: AccountStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 6: the message has arrived."""
    message = incoming(fred)
    failing(monkeypatch, "unlink", errno.EIO)
    done = message.deliver(fred, last=False)
    message.abort()
    assert (fred.maildir / "new" / done.filename).exists()


def test_a_rename_that_worked_and_says_enoent(
    fred: AccountStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 4: a network client sent the call twice."""
    real = os.rename

    def rename(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        real(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        raise FileNotFoundError(errno.ENOENT, "sent again")

    monkeypatch.setattr(os, "rename", rename)
    done = incoming(fred).deliver(fred, last=True)
    assert files(fred)["new"] == [done.filename]


def test_a_rename_that_worked_after_which_a_reader_was_quick(
    fred: AccountStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.rename

    def rename(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        real(source, f"../cur/{target}:2,", src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        raise FileNotFoundError(errno.ENOENT, "sent again")

    monkeypatch.setattr(os, "rename", rename)
    done = incoming(fred).deliver(fred, last=True)
    assert files(fred) == {"tmp": [], "new": [], "cur": [done.base + ":2,"]}


def test_a_link_that_worked_and_says_eexist(
    fred: AccountStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.link

    def link(*args: Any, **kwargs: Any) -> None:
        real(*args, **kwargs)
        raise FileExistsError(errno.EEXIST, "sent again")

    monkeypatch.setattr(os, "link", link)
    message = incoming(fred)
    done = message.deliver(fred, last=False)
    message.abort()
    assert files(fred)["new"] == [done.filename]


def test_a_name_that_is_taken(fred: AccountStore, monkeypatch: pytest.MonkeyPatch) -> None:
    names = iter(["taken", "taken", "free", "alsotaken", "last"])
    monkeypatch.setattr(delivery, "unique_name", lambda *_: next(names))
    monkeypatch.setattr(durable, "unique_name", lambda *_: next(names))
    (fred.maildir / "tmp" / "taken").write_text("somebody else's")
    (fred.maildir / "new" / "alsotaken,S=1,W=1").write_text("?")
    message = incoming(fred, b"x")
    done = message.deliver(fred, last=False)
    message.abort()
    assert done.filename == "last,S=1,W=1"
    assert files(fred)["tmp"] == ["taken"]
    assert (fred.maildir / "new" / "alsotaken,S=1,W=1").read_text() == "?"


def test_no_free_name(fred: AccountStore, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def refuse(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if flags & os.O_EXCL:
            raise FileExistsError(errno.EEXIST, "taken")
        return real(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(MailError) as caught:
        incoming(fred).deliver(fred, last=True)
    assert caught.value.kind is ErrorKind.TEMPORARY


def test_a_failed_directory_sync_is_no_success(
    fred: AccountStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        count = failing(patch, "fsync", errno.EIO, on=lambda fd: not is_file(fd))
        with pytest.raises(MailError) as caught:
            incoming(fred).deliver(fred, last=True)
    assert caught.value.kind is ErrorKind.TEMPORARY
    assert len(count) == 1
    assert len(files(fred)["new"]) == 1  # at least once: it stays
    incoming(fred).deliver(fred, last=True)  # and the next one gets a fresh handle


def test_a_stale_handle_is_opened_again(
    fred: AccountStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open
    left = [1]

    def stale(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if flags & os.O_EXCL and left:
            left.pop()
            raise OSError(errno.ESTALE, "gone on the server")
        return real(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", stale)
    incoming(fred).deliver(fred, last=True)
    assert len(files(fred)["new"]) == 1


@pytest.mark.parametrize("size", [10, SMALL * 2])
@pytest.mark.parametrize("last", [True, False])
def test_the_order_of_the_steps(
    fred: AccountStore, monkeypatch: pytest.MonkeyPatch, size: int, last: bool
) -> None:
    """Without this order a power cut leaves acknowledged mail torn or missing (rules 3 to 5)."""
    fred.handles.release(fred.acquire(INBOX))
    steps: list[str] = []

    def note(name: str, what: Callable[..., str]) -> None:
        real = getattr(os, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            steps.append(what(*args))
            return real(*args, **kwargs)

        monkeypatch.setattr(os, name, call)

    def kind(fd: int, *_: object) -> str:
        return "file" if is_file(fd) else "directory"

    note("write", lambda fd, _data: f"write {kind(fd)}")
    note("fsync", lambda fd: f"sync {kind(fd)}")
    note("close", lambda fd: f"close {kind(fd)}")
    note("rename", lambda *_: "place")
    note("link", lambda *_: "place")
    incoming(fred, b"x" * size).deliver(fred, last=last)
    path = [step for step in steps if step != "close directory"]
    assert list(dict.fromkeys(path)) == [
        "write file",
        "sync file",
        "close file",
        "place",
        "sync directory",
    ]
    assert path.count("sync file") == path.count("place") == path.count("sync directory") == 1


def test_syncs_are_shared(fred: AccountStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one directory sync runs, fifteen more deliveries come: one more serves them all."""
    real_rename = os.rename
    guard = threading.Lock()
    all_placed = threading.Event()
    placed: set[str] = set()
    synced: set[str] = set()
    syncs: list[int] = []

    def rename(source: str, target: str, **kwargs: Any) -> None:
        real_rename(source, target, **kwargs)
        with guard:
            placed.add(target)
            if len(placed) == 16:
                all_placed.set()

    def fsync(fd: int) -> None:
        if is_file(fd):
            return
        with guard:
            covered = set(placed)
            syncs.append(1)
        assert all_placed.wait(30)
        with guard:
            synced.update(covered)

    monkeypatch.setattr(os, "rename", rename)
    monkeypatch.setattr(os, "fsync", fsync)

    def deliver(_: int) -> None:
        done = incoming(fred).deliver(fred, last=True)
        with guard:
            assert done.filename in synced  # by a sync that began after its rename

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(deliver, range(16)))
    assert len(syncs) <= 2

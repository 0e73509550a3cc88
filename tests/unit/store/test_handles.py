"""Open directories: kept for a moment, bounded, closed; and the shared sync."""

import os
import threading
from pathlib import Path

import pytest

from restante.model import INBOX, ErrorKind, MailError
from restante.store.handles import HandleCache, SharedSync
from restante.store.layout import make_maildir, opened


def maildir(root: Path, name: str = "Maildir") -> Path:
    with opened(root) as fd:
        make_maildir(fd, name)
    return root / name


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_kept_and_closed(tmp_path: Path) -> None:
    path = maildir(tmp_path)
    before = open_descriptors()
    cache = HandleCache()
    one = cache.acquire(path, INBOX)
    two = cache.acquire(path, INBOX)
    assert one is two
    cache.release(one)
    cache.release(two)
    assert open_descriptors() == before + 4
    cache.close()
    assert open_descriptors() == before


def test_expired(tmp_path: Path) -> None:
    path = maildir(tmp_path)
    before = open_descriptors()
    cache = HandleCache(max_age=0)
    one = cache.acquire(path, INBOX)
    two = cache.acquire(path, INBOX)
    assert one is not two
    assert os.fstat(one.new).st_ino == os.fstat(two.new).st_ino  # still open for its user
    cache.release(one)
    assert open_descriptors() == before + 4
    cache.release(two)
    cache.close()
    assert open_descriptors() == before


def test_bounded(tmp_path: Path) -> None:
    before = open_descriptors()
    cache = HandleCache(max_open=3)
    for number in range(10):
        cache.release(cache.acquire(maildir(tmp_path, f"m{number}"), INBOX))
    assert open_descriptors() == before + 3 * 4
    cache.close()


def test_dropped_and_forgotten(tmp_path: Path) -> None:
    path = maildir(tmp_path)
    before = open_descriptors()
    cache = HandleCache()
    one = cache.acquire(path, INBOX)
    cache.drop(one)
    cache.drop(one)
    two = cache.acquire(path, INBOX)
    assert two is not one
    cache.release(one)
    cache.release(two)
    cache.forget(tmp_path / "other")
    assert cache.acquire(path, INBOX) is two
    cache.forget(path)
    cache.release(two)
    assert open_descriptors() == before


def test_nothing_leaks_where_it_cannot_be_opened(tmp_path: Path) -> None:
    path = maildir(tmp_path)
    (path / "new").rmdir()
    before = open_descriptors()
    cache = HandleCache()
    with pytest.raises(FileNotFoundError):
        cache.acquire(path, INBOX)
    with pytest.raises(MailError) as caught:
        cache.acquire(path, ("Nothing",))
    assert caught.value.kind is ErrorKind.NO_SUCH_FOLDER
    assert open_descriptors() == before


def test_a_sync_that_began_before_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three come while one sync runs: one more sync serves them all, and they wait for it."""
    running, go_on = threading.Event(), threading.Event()
    count: list[int] = []

    def fsync(_: int) -> None:
        count.append(1)
        if len(count) == 1:
            running.set()
            go_on.wait(10)

    monkeypatch.setattr(os, "fsync", fsync)
    shared = SharedSync(-1)
    first = threading.Thread(target=shared.sync)
    first.start()
    running.wait(10)
    late = [threading.Thread(target=shared.sync) for _ in range(3)]
    for thread in late:
        thread.start()
    for thread in late:
        thread.join(0.02)
        assert thread.is_alive()
    go_on.set()
    for thread in [first, *late]:
        thread.join(10)
    assert len(count) == 2


def test_a_failed_sync_fails_all_whom_it_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "EIO")

    monkeypatch.setattr(os, "fsync", fail)
    shared = SharedSync(-1)
    with pytest.raises(OSError, match="sync failed"):
        shared.sync()
    monkeypatch.setattr(os, "fsync", lambda _: None)
    with pytest.raises(OSError, match="sync failed"):  # the kernel would now report success
        shared.sync()

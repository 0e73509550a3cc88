"""One contract for both engines of hints, and for the rescan that backs them."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from restante.model import INBOX, FolderName, MailError
from restante.store.hints import Hints, Watch
from restante.store.hints_engine import make_hints
from restante.store.hints_inotify import InotifyHints
from restante.store.hints_redis import RedisHints
from restante.store.layout import make_maildir, open_folder, opened
from restante.store.metrics import HINT_LAG, HINTS_UP
from tests.contract.redis_server import Redis, redis_server  # noqa: F401 - a fixture


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    with opened(tmp_path) as root:
        make_maildir(root, "Maildir")
        with opened("Maildir", root) as own:
            make_maildir(own, ".Work")
    return tmp_path / "Maildir"


Make = Callable[[], Hints]


@pytest.fixture(params=["inotify", "redis"])
async def engines(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[tuple[Hints, Hints]]:
    """Two processes' hints: one watches, one delivers. Their rescans are too slow to help."""
    setting = request.param
    if setting == "redis":
        setting = request.getfixturevalue("redis_server").url
    both = make_hints(setting, tmp_path, rescan=3600), make_hints(setting, tmp_path, rescan=3600)
    for hints in both:
        hints.start()
    yield both
    for hints in both:
        await hints.close()


class Calls:
    """Counts callbacks; hints may be doubled, so tests wait for more than there were."""

    def __init__(self) -> None:
        self.count = 0
        self._changed = asyncio.Event()

    def __call__(self) -> None:
        self.count += 1
        self._changed.set()

    async def more_than(self, count: int) -> None:
        async with asyncio.timeout(10):
            while self.count <= count:
                self._changed.clear()
                await self._changed.wait()


def watch(hints: Hints, maildir: Path, name: FolderName, callback: Callable[[], None]) -> Watch:
    fd = open_folder(maildir, name)
    try:
        return hints.watch(maildir, name, fd, callback)
    finally:
        os.close(fd)


def drop(maildir: Path, name: FolderName, base: str, hints: Hints) -> None:
    """What a delivery does."""
    folder = maildir / ("." + ".".join(name) if name else ".")
    (folder / "tmp" / base).write_bytes(b"x")
    os.rename(folder / "tmp" / base, folder / "new" / base)
    hints.publish(maildir, name)


async def in_effect(hints: Hints, maildir: Path, calls: Calls, name: FolderName = INBOX) -> int:
    """Wait until the watch is in effect and return how many calls there were."""
    async with asyncio.timeout(10):
        while not calls.count:
            drop(maildir, name, f"settle{time.monotonic_ns()}", hints)
            await asyncio.sleep(0.01)
    return calls.count


async def test_a_delivery_calls_the_watcher(engines: tuple[Hints, Hints], maildir: Path) -> None:
    watching, delivering = engines
    lags = HINT_LAG.count
    for name in (INBOX, ("Work",)):
        calls = Calls()
        watch(watching, maildir, name, calls)
        before = await in_effect(delivering, maildir, calls, name)
        drop(maildir, name, "one", delivering)
        await calls.more_than(before)
    assert HINT_LAG.count >= lags + 2, "both engines tell how late they are"
    up = [row for row in HINTS_UP.family()[-1].values() if not isinstance(row, tuple)]
    assert sum(up) >= 1


async def test_publish_from_a_thread(engines: tuple[Hints, Hints], maildir: Path) -> None:
    watching, delivering = engines
    calls = Calls()
    watch(watching, maildir, INBOX, calls)
    before = await in_effect(delivering, maildir, calls)
    await asyncio.to_thread(drop, maildir, INBOX, "one", delivering)
    await calls.more_than(before)


async def test_a_cancelled_watch_is_silent(engines: tuple[Hints, Hints], maildir: Path) -> None:
    watching, delivering = engines
    ended, going_on = Calls(), Calls()
    first = watch(watching, maildir, INBOX, ended)
    watch(watching, maildir, INBOX, going_on)
    before = await in_effect(delivering, maildir, going_on)
    first.cancel()
    first.cancel()
    silent = ended.count
    drop(maildir, INBOX, "one", delivering)
    await going_on.more_than(before)
    assert ended.count == silent


async def test_watched_again_after_the_last_cancel(
    engines: tuple[Hints, Hints], maildir: Path
) -> None:
    watching, delivering = engines
    first, second = Calls(), Calls()
    one = watch(watching, maildir, INBOX, first)
    await in_effect(delivering, maildir, first)
    one.cancel()
    silent = first.count
    watch(watching, maildir, INBOX, second)
    before = await in_effect(delivering, maildir, second)
    drop(maildir, INBOX, "one", delivering)
    await second.more_than(before)
    assert first.count == silent


async def test_a_callback_may_cancel(engines: tuple[Hints, Hints], maildir: Path) -> None:
    watching, delivering = engines
    calls = Calls()
    held: list[Watch] = []

    def once() -> None:
        calls()
        held[0].cancel()

    held.append(watch(watching, maildir, INBOX, once))
    await in_effect(delivering, maildir, calls)
    other = Calls()
    watch(watching, maildir, INBOX, other)
    before = await in_effect(delivering, maildir, other)
    drop(maildir, INBOX, "one", delivering)
    await other.more_than(before)
    assert calls.count == 1


async def test_many_folders(engines: tuple[Hints, Hints], maildir: Path) -> None:
    watching, delivering = engines
    names = [("Many", f"f{number}") for number in range(300)]
    with opened(maildir) as root:
        for name in names:
            make_maildir(root, "." + ".".join(name))
    calls = [Calls() for _ in names]
    for name, own in zip(names, calls, strict=True):
        watch(watching, maildir, name, own)
    for number in (0, 123, 299):
        before = await in_effect(delivering, maildir, calls[number], names[number])
        drop(maildir, names[number], "m", delivering)
        await calls[number].more_than(before)


@pytest.mark.parametrize("setting", ["inotify", "none", "redis://127.0.0.1:1/0"])
async def test_the_rescan_backs_every_engine(setting: str, tmp_path: Path, maildir: Path) -> None:
    """Nothing is published and Redis is down: the folder is still looked at."""
    hints = make_hints(setting, tmp_path, rescan=1)
    hints.start()
    calls = Calls()
    watch(hints, maildir, INBOX, calls)
    hints.publish(maildir, INBOX)
    await calls.more_than(1)
    await hints.close()
    count = calls.count
    await asyncio.sleep(0)
    assert calls.count == count


async def test_a_vanished_folder_calls_its_watchers(tmp_path: Path, maildir: Path) -> None:
    hints = InotifyHints(rescan=3600)
    calls = Calls()
    held = watch(hints, maildir, ("Work",), calls)
    shutil.rmtree(maildir / ".Work")
    await calls.more_than(0)
    held.cancel()
    await hints.close()


async def test_inotify_sees_the_index_but_not_every_file(tmp_path: Path, maildir: Path) -> None:
    hints = InotifyHints(rescan=3600)
    calls = Calls()
    watch(hints, maildir, INBOX, calls)
    (maildir / "maildirsize").write_text("0S\n")
    (maildir / "restante.cache").write_text("x")
    await asyncio.sleep(0.05)
    assert calls.count == 0
    (maildir / "restante.index").write_text("x")
    await calls.more_than(0)
    await hints.close()


async def test_without_inotify_watches_the_rescan_remains(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def inotify_add_watch(self, *_: object) -> int:
            import ctypes
            import errno

            ctypes.set_errno(errno.ENOSPC)
            return -1

        def inotify_init1(self, flags: int) -> int:
            return os.open("/dev/null", os.O_RDONLY)

        def inotify_rm_watch(self, *_: object) -> int:
            return 0

    monkeypatch.setattr("restante.store.hints_inotify._libc", Full())
    monkeypatch.setattr(asyncio.get_running_loop(), "add_reader", lambda *_: None)
    hints = InotifyHints(rescan=1)
    calls = Calls()
    watch(hints, maildir, INBOX, calls).cancel()
    watch(hints, maildir, INBOX, calls)
    await calls.more_than(0)
    await hints.close()


async def test_redis_comes_back(tmp_path: Path, maildir: Path) -> None:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    directory = tmp_path / "redis"
    directory.mkdir()
    server = Redis(directory)
    watching, delivering = (RedisHints(server.url, tmp_path, rescan=3600) for _ in range(2))
    try:
        delivering.start()
        calls = Calls()
        watch(watching, maildir, INBOX, calls)
        before = await in_effect(delivering, maildir, calls)
        server.stop()
        drop(maildir, INBOX, "lost", delivering)
        await asyncio.to_thread(server.start)
        await calls.more_than(before)  # it asks after reconnecting, for what it missed
        async with asyncio.timeout(10):
            before = calls.count
            while calls.count == before:
                delivering.publish(maildir, INBOX)
                await asyncio.sleep(0.05)
    finally:
        await watching.close()
        await delivering.close()
        server.stop()


def test_an_unknown_engine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MailError, match="unknown hints engine"):
        make_hints("pigeon", tmp_path)

"""What the store counts."""

import asyncio
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from restante.model import INBOX, ErrorKind, MailError
from restante.store import lock, metrics, volume_probe
from restante.store.hints import Hints
from restante.store.hints_inotify import InotifyHints
from restante.store.hints_redis import _measure
from restante.store.mailbox import Mailbox
from restante.store.pool import StorePool
from restante.store.volume import SENTINEL, create_volume
from restante.store.volume_probe import VolumeProbe
from tests.unit.store.support import Volume


def changes(read: Callable[[], float]) -> Callable[[], float]:
    """Return what tells by how much a number has grown since now."""
    before = read()
    return lambda: read() - before


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


# --- volumes ------------------------------------------------------------------------------------


def test_a_volume_is_measured_while_it_is_there(tmp_path: Path) -> None:
    create_volume(tmp_path)
    probe, name = VolumeProbe([tmp_path]), str(tmp_path)
    probe.look()
    probe.wait()
    assert metrics.VOLUME_PRESENT.labels(name).value == 1
    assert 0 < metrics.VOLUME_FREE.labels(name).value <= metrics.VOLUME_SIZE.labels(name).value
    (tmp_path / SENTINEL).unlink()  # as an empty mount point looks
    probe.look()
    probe.wait()
    assert metrics.VOLUME_PRESENT.labels(name).value == 0


def test_a_volume_that_hangs_counts_as_absent_and_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_volume(tmp_path)
    hanging = threading.Event()

    def check(_: Path) -> None:
        hanging.wait(20)

    probe, present = VolumeProbe([tmp_path]), metrics.VOLUME_PRESENT.labels(str(tmp_path))
    probe.look()
    probe.wait()
    assert present.value == 1
    monkeypatch.setattr(volume_probe, "check_volume", check)
    threads = threading.active_count()
    for _ in range(5):
        probe.look()
    assert present.value == 0
    assert threading.active_count() == threads + 1
    hanging.set()
    probe.wait()
    assert present.value == 1


# --- locks, indexes, caches ---------------------------------------------------------------------


def test_a_lock_that_is_not_had_in_time_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    one, two = (os.open(path, os.O_RDWR) for _ in range(2))
    timeouts = changes(lambda: metrics.LOCK_TIMEOUTS.value)
    with lock.locked(one):
        for timeout, counted in ((0, 0), (0.01, 1)):  # who does not wait has another way
            with pytest.raises(MailError) as caught, lock.locked(two, timeout=timeout):
                pass
            assert caught.value.kind is ErrorKind.TEMPORARY
            assert timeouts() == counted
    os.close(one)
    os.close(two)


def test_damage_is_told_by_what_it_costs(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    torn = changes(lambda: metrics.SALVAGE_TORN.value)
    damaged = changes(lambda: metrics.SALVAGE_DAMAGED.value)
    lost = changes(lambda: metrics.SALVAGE_LOST.value)
    for _ in range(3):
        volume.deliver()
        volume.mailbox()
    index = volume.maildir / "restante.index"
    with index.open("ab") as file:
        file.write(b"torn")
    volume.mailbox()
    assert (torn(), damaged(), lost()) == (1, 0, 0)
    index.write_bytes(b"nothing of ours" * 100)
    volume.mailbox()
    assert (torn(), damaged(), lost()) == (1, 0, 1)


def test_facts_are_parsed_once(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    volume.deliver()
    mailbox = volume.mailbox()
    hits = changes(lambda: metrics.FACTS_HIT.value)
    misses = changes(lambda: metrics.FACTS_MISS.value)
    for _ in range(3):
        if mailbox.cached_facts([1]) == [None]:
            mailbox.facts([1])
    assert (hits(), misses()) == (2, 1)


def test_a_full_mailbox_is_counted(tmp_path: Path) -> None:
    volume = Volume(tmp_path, quota="1C")
    volume.deliver()
    refusals = changes(lambda: metrics.QUOTA_REFUSALS.value)
    with pytest.raises(MailError):
        volume.deliver()
    assert refusals() == 1


async def test_the_pool_tells_how_long_jobs_waited() -> None:
    pool = StorePool(1)
    go = threading.Event()
    waits = changes(lambda: sum(metrics.POOL_WAIT.counts))
    slow = asyncio.ensure_future(pool.run(go.wait))
    second = asyncio.ensure_future(pool.run(int))
    await asyncio.sleep(0)
    assert metrics.POOL_PENDING.family()[-1][()] >= 2  # type: ignore[operator] # a gauge's value is a number
    go.set()
    await asyncio.gather(slow, second)
    assert waits() == 2
    pool.close()


# --- hints --------------------------------------------------------------------------------------


async def test_a_rescan_that_finds_something_is_told_apart(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    account = volume.account()
    account.store.hints = Hints(rescan=1)
    mailbox = Mailbox.open(account, INBOX)
    found = changes(lambda: metrics.RESCAN_FOUND.value)
    nothing = changes(lambda: metrics.RESCAN_NOTHING.value)
    heard = changes(lambda: metrics.HINTS_HEARD.value)
    end = mailbox.watch(lambda: None)
    await until(lambda: nothing() >= 1)
    volume.deliver()
    await until(lambda: found() == 1)
    assert heard() == 0
    end()
    await account.store.hints.close()


async def test_inotify_tells_how_old_the_change_is(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    account = volume.account()
    account.store.hints = hints = InotifyHints(rescan=3600)
    mailbox = Mailbox.open(account, INBOX)
    lags = changes(lambda: metrics.HINT_LAG.count)
    notices = changes(lambda: metrics.NOTICE.count)
    end = mailbox.watch(lambda: None)
    volume.drop("1.M1P1.host")
    await until(lambda: lags() >= 1 and notices() >= 1)
    end()
    await hints.close()


def test_a_hint_of_redis_tells_its_age() -> None:
    lags = changes(lambda: metrics.HINT_LAG.count)
    total = changes(lambda: metrics.HINT_LAG.labels().sum)
    _measure(b"%d" % ((time.time() - 2) * 1000))
    assert lags() == 1
    assert 1.9 < total() < 60
    _measure(b"%d" % ((time.time() + 500) * 1000))  # a clock that is ahead
    assert lags() == 2
    assert total() < 60
    for odd in (b"", b"nonsense", b"-1", b"9" * 50, 1, None):  # older versions, and others
        _measure(odd)
    assert lags() == 2

"""One process, many owners: each mail's files are made and reached under its owner's own ids."""

import asyncio
import errno
import logging
import os
import random
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest

from restante.model import INBOX, Account, ErrorKind, Flag, MailError
from restante.store import identity, nowait
from restante.store.account import AccountStore, MailStore
from restante.store.changes import StoreMode
from restante.store.delivery import SMALL, Delivered, Incoming
from restante.store.hints import Hints
from restante.store.hints_inotify import InotifyHints
from restante.store.pool import StorePool
from tests.unit.store.owners import (
    ANN,
    BOB,
    account,
    fsuid,
    needs_root,
    opened,
    owners_of,
    put,
    volume,
)

pytestmark = needs_root


@pytest.fixture
def root() -> Iterator[Path]:
    with volume() as made:
        yield made


@pytest.fixture
async def store(root: Path) -> AsyncIterator[MailStore]:
    made = MailStore(root, hints=InotifyHints(), pool=StorePool(4))
    yield made
    await made.close()
    assert fsuid() == 0


def refused(*kinds: ErrorKind) -> pytest.RaisesExc[MailError]:
    return pytest.RaisesExc(MailError, check=lambda error: error.kind in kinds)


def everything(target: AccountStore) -> None:
    """Do what sessions and deliveries do with an account."""
    large = b"Subject: large\r\n\r\n" + b"x\r\n" * SMALL
    for data in (b"Subject: small\r\n\r\nx\r\n", large):
        put(target, data)
    keyed = Incoming(target)
    keyed.write(b"Subject: keyed\r\n\r\nx\r\n")
    keyed.deliver(target, INBOX, last=True, key="k")
    target.create(("Work",), special_use="\\Archive")
    target.rename(("Work",), ("Play",))
    target.subscribe(("Play",))
    target.unsubscribe(("Play",))
    target.folders()
    target.status(INBOX)
    target.quota()
    inbox, play = target.open_mailbox(INBOX), target.open_mailbox(("Play",))
    try:
        inbox.refresh()
        uids = list(inbox.uids)
        assert len(uids) == 3
        inbox.facts(uids)
        inbox.read(uids[0])
        inbox.store(uids[:1], StoreMode.ADD, Flag.SEEN, ("$word",))
        inbox.copy(uids, play)
        inbox.move(uids[:1], play)
        appended = Incoming(target)
        appended.write(large)
        play.append(appended, Flag.DRAFT)
        play.store(list(play.uids)[:1], StoreMode.ADD, Flag.DELETED)
        play.expunge()
        play.remove(list(play.uids)[:1])
        play.refresh(scan=True)
    finally:
        inbox.release()
        play.release()
    target.delete(("Play",))


@pytest.mark.parametrize("umask", [0o022, 0o077, 0])
async def test_all_that_is_made_belongs_to_the_owner(store: MailStore, umask: int) -> None:
    before = os.umask(umask)
    try:
        await all_is_owned(store)
    finally:
        os.umask(before)


async def all_is_owned(store: MailStore) -> None:
    ann, bob = opened(store, "ann", ANN), opened(store, "bob", BOB, "1000000S")
    for target, uid in ((ann, ANN), (bob, BOB)):
        await store.pool.run(everything, target)
        await store.pool.run_as(target.identity, put, target)
        home = target.account.home
        assert owners_of(home) == {(uid, uid)}
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        # The directories on the way are the server's; everybody may pass and nobody may write.
        for parent in (home.parent, home.parent.parent):
            assert (parent.stat().st_uid, stat.S_IMODE(parent.stat().st_mode)) == (0, 0o711)


class Watched:
    """Who every file-system call below a home was made as."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, homes: dict[Path, int]) -> None:
        self.wrong: list[str] = []
        self.calls = 0
        self._homes, self._readlink = homes, os.readlink
        for name in ("open", "stat", "lstat", "mkdir", "unlink", "rmdir", "scandir", "listdir"):
            monkeypatch.setattr(os, name, self._wrap(name, getattr(os, name), ("dir_fd",)))
        for name in ("rename", "link"):
            keys = ("src_dir_fd", "dst_dir_fd")
            monkeypatch.setattr(os, name, self._wrap(name, getattr(os, name), keys))
        for name in ("open_file", "open_directory"):
            real = getattr(nowait, name)
            monkeypatch.setattr(nowait, name, self._cached(name, real))

    def _wrap(
        self, name: str, real: Callable[..., Any], keys: tuple[str, ...]
    ) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            for path, key in zip(args, keys, strict=False):
                self._look(name, path, kwargs.get(key))
            return real(*args, **kwargs)

        return call

    def _cached(self, name: str, real: Callable[[int, bytes], int]) -> Callable[[int, bytes], int]:
        def call(directory: int, path: bytes) -> int:
            self._look(name, path, directory)
            return real(directory, path)

        return call

    def _look(self, name: str, path: object, directory: int | None) -> None:
        if isinstance(path, int):
            return  # an open file
        text = os.fsdecode(path)  # type: ignore[arg-type]
        if directory is not None:
            text = os.path.join(self._readlink(f"/proc/self/fd/{directory}"), text)
        place = Path(os.path.normpath(text))
        for home, uid in self._homes.items():
            if home in place.parents:
                self.calls += 1
                if fsuid() != uid:
                    self.wrong.append(f"{name} {place} as {fsuid()}")


async def watched_work(store: MailStore, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """Do everything with two accounts, in threads and on the loop, and watch."""
    targets = [store.open_account(account(store.mail_root, n, u)) for n, u in USERS.items()]
    homes = {target.account.home: target.account.uid for target in targets}
    with monkeypatch.context() as patch:
        watched = Watched(patch, homes)
        for target in targets:
            await store.pool.run(target.ensure)
            await store.pool.run(everything, target)
            inbox = await store.pool.run(target.open_mailbox, INBOX)
            await store.pool.run(inbox.refresh)
            end = inbox.watch(lambda: None)
            assert inbox.read_cached(inbox.uids[0]) or True
            again = target.open_unmoved(INBOX)
            if again is not None:
                again.release()
            end()
            await store.pool.run(inbox.release)
        both = Incoming(targets[0])
        both.write(b"x" * SMALL * 2)
        results = await store.pool.run(both.deliver_many, targets)
        assert all(isinstance(result, Delivered) for result in results)
        both.abort()
        await store.pool.run(store.mailboxes.close)
        return watched


USERS = {"ann": ANN, "bob": BOB}


async def test_every_call_in_a_home_is_made_as_its_owner(
    store: MailStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = await watched_work(store, monkeypatch)
    assert watched.calls > 500
    assert watched.wrong == []


async def test_known_bad_a_way_that_forgets_the_owner_is_seen(
    store: MailStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AccountStore, "acting", lambda _: nullcontext())
    watched = await watched_work(store, monkeypatch)
    assert watched.wrong


# --- crossing over ------------------------------------------------------------------------------


@pytest.fixture
def ann(store: MailStore) -> AccountStore:
    made = opened(store, "ann", ANN)
    put(made, b"Subject: secret of ann\r\n\r\nx\r\n")
    return made


@pytest.fixture
def bob(store: MailStore) -> AccountStore:
    return opened(store, "bob", BOB)


def mail_in(target: AccountStore) -> list[Path]:
    return [path for part in ("new", "cur") for path in (target.maildir / part).iterdir()]


def as_bob(work: Callable[[], object]) -> None:
    with identity.acting(identity.identity_of(BOB, BOB)):
        work()


async def test_a_symlink_to_anothers_message_is_no_message(
    store: MailStore, ann: AccountStore, bob: AccountStore
) -> None:
    (secret,) = mail_in(ann)
    as_bob(lambda: (bob.maildir / "new" / secret.name).symlink_to(secret))
    inbox = bob.open_mailbox(INBOX)
    inbox.refresh()
    for uid in list(inbox.uids):
        with refused(ErrorKind.GONE, ErrorKind.TEMPORARY):
            inbox.read(uid)
        assert inbox.read_cached(uid) is None
    inbox.release()


async def test_a_hard_link_to_anothers_message_opens_nothing(
    store: MailStore, ann: AccountStore, bob: AccountStore
) -> None:
    (secret,) = mail_in(ann)
    os.link(secret, bob.maildir / "cur" / f"{secret.name}:2,")  # as root: bob himself could not
    inbox = bob.open_mailbox(INBOX)
    inbox.refresh()
    for uid in list(inbox.uids):
        with refused(ErrorKind.TEMPORARY):
            inbox.read(uid)
        assert inbox.read_cached(uid) is None
    inbox.release()


async def test_a_symlink_in_place_of_the_index_writes_nothing(
    store: MailStore, ann: AccountStore, bob: AccountStore
) -> None:
    target = ann.maildir / "restante.account"
    before = target.read_bytes()
    for name in ("restante.index", "restante.account", "maildirsize", "courierimapsubscribed"):
        (bob.maildir / name).unlink(missing_ok=True)
        as_bob(lambda name=name: (bob.maildir / name).symlink_to(target))  # type: ignore[misc]
    inbox = None
    with refused(ErrorKind.TEMPORARY, ErrorKind.NO_SUCH_FOLDER):
        inbox = bob.open_mailbox(INBOX)
        inbox.refresh()
    assert inbox is None
    assert target.read_bytes() == before


async def test_a_hard_link_in_place_of_the_index_writes_nothing(
    store: MailStore, ann: AccountStore, bob: AccountStore
) -> None:
    target = ann.maildir / "restante.account"
    before = target.read_bytes()
    os.link(target, bob.maildir / "restante.index")
    with refused(ErrorKind.TEMPORARY):
        bob.open_mailbox(INBOX).refresh()
    assert target.read_bytes() == before


@pytest.mark.parametrize("name", ["restante.index", "restante.account", "maildirsize"])
async def test_a_pipe_in_place_of_a_file_holds_nobody_up(store: MailStore, name: str) -> None:
    bob = opened(store, "bob", BOB, "1000000S")
    (bob.maildir / name).unlink(missing_ok=True)
    as_bob(lambda: os.mkfifo(bob.maildir / name))

    def work() -> None:
        with suppress(MailError):
            inbox = bob.open_mailbox(INBOX)
            inbox.refresh()
            inbox.release()
        with suppress(MailError):
            put(bob)
        with suppress(MailError):
            bob.quota()

    async with asyncio.timeout(60):
        await store.pool.run(work)


async def test_a_symlink_to_anothers_folder_is_no_folder(
    store: MailStore, ann: AccountStore, bob: AccountStore
) -> None:
    as_bob(lambda: (bob.maildir / ".Ann").symlink_to(ann.maildir))
    assert ("Ann",) not in [entry.name for entry in bob.folders()]
    with refused(ErrorKind.NO_SUCH_FOLDER):
        bob.open_mailbox(("Ann",))
    assert bob.open_unmoved(("Ann",)) is None


@pytest.mark.parametrize("part", ["new", "tmp", "cur"])
async def test_a_symlink_in_place_of_a_part_takes_no_mail(
    store: MailStore, ann: AccountStore, bob: AccountStore, part: str
) -> None:
    (bob.maildir / part).rmdir()
    as_bob(lambda: (bob.maildir / part).symlink_to(ann.maildir / part))
    before = sorted(ann.maildir.rglob("*"))
    for size in (10, SMALL * 2):
        with refused(ErrorKind.TEMPORARY, ErrorKind.NO_SUCH_FOLDER):
            put(bob, b"x" * size)
    assert sorted(ann.maildir.rglob("*")) == before


async def test_a_maildir_that_is_a_link_into_anothers_home(
    store: MailStore, ann: AccountStore, bob: AccountStore
) -> None:
    before = sorted(ann.maildir.rglob("*"))
    bob.maildir.rename(bob.account.home / "aside")
    as_bob(lambda: bob.maildir.symlink_to(ann.maildir))
    await crossed(store, bob)
    assert sorted(ann.maildir.rglob("*")) == before


async def test_an_account_whose_maildir_is_anothers(
    store: MailStore, ann: AccountStore, caplog: pytest.LogCaptureFixture
) -> None:
    home = store.mail_root / "example.test" / "e" / "eve"
    eve = store.open_account(Account("eve@example.test", BOB, BOB, home, ann.maildir))
    inbox = ann.open_mailbox(INBOX)  # a session of ann's has it in memory
    inbox.refresh()
    before = sorted(ann.maildir.rglob("*"))
    with caplog.at_level(logging.WARNING):
        await crossed(store, eve)
    assert sorted(ann.maildir.rglob("*")) == before
    told = [r.getMessage() for r in caplog.records if "eve@example.test" in r.getMessage()]
    assert len(told) == 1
    inbox.release()


async def crossed(store: MailStore, thief: AccountStore) -> None:
    """Nothing works for `thief`, neither for reading nor for writing, and nothing is a bounce."""
    kinds = (ErrorKind.TEMPORARY,)
    for work in (
        lambda: put(thief),
        lambda: put(thief, b"x" * SMALL * 2),
        lambda: thief.open_mailbox(INBOX),
        thief.folders,
        lambda: thief.status(INBOX),
        lambda: thief.create(("X",)),
        lambda: thief.subscribe(("X",)),
        thief.ensure,
    ):
        with refused(*kinds):
            await store.pool.run_as(thief.identity, work)
        with refused(*kinds):
            await store.pool.run(work)
    assert thief.open_unmoved(INBOX) is None
    assert thief.read_cached(INBOX, b"restante.account") is None


async def test_a_home_is_never_made_in_anothers_home(store: MailStore, ann: AccountStore) -> None:
    """Root makes homes: a link that a user put on the way must lead nowhere."""
    elsewhere = store.mail_root / "elsewhere"
    elsewhere.mkdir()
    with identity.acting(ann.identity):
        (ann.account.home / "sub").mkdir()
        (ann.account.home / "sub" / "link").symlink_to(elsewhere)
    for way in ("sub", "sub/link", "none"):
        home = ann.account.home / way / "bob"
        thief = store.open_account(Account(f"{way}@x.test", BOB, BOB, home, home / "Maildir"))
        with refused(ErrorKind.TEMPORARY):
            thief.ensure()
        own = store.open_account(Account(f"{way}@y.test", ANN, ANN, home, home / "Maildir"))
        if way == "none":
            own.ensure()  # in her own home she may, and it is she who does
            assert owners_of(home) == {(ANN, ANN)}
    assert list(elsewhere.iterdir()) == []


async def test_the_maildir_may_lie_deep_below_the_home(store: MailStore) -> None:
    home = store.mail_root / "d" / "carl"
    carl = store.open_account(Account("carl@d", ANN, BOB, home, home / "a" / "b" / "Maildir"))
    put(carl)
    assert owners_of(home) == {(ANN, BOB)}
    assert home.parent.stat().st_uid == 0


async def test_a_home_elsewhere_is_not_made(store: MailStore) -> None:
    home = store.mail_root.parent / "nowhere" / "carl"
    carl = store.open_account(Account("carl@d", ANN, ANN, home, home / "Maildir"))
    with refused(ErrorKind.TEMPORARY):
        put(carl)
    home.mkdir(parents=True)
    os.chown(home, ANN, ANN)
    home.parent.chmod(0o711)
    put(carl)
    assert owners_of(home) == {(ANN, ANN)}


def test_errors_are_the_kernels_own() -> None:
    """Why the tests above may trust TEMPORARY: it is EACCES that is behind it."""
    with volume() as root:
        store = MailStore(root, hints=Hints())
        ann = opened(store, "ann", ANN)
        home = root / "e"
        eve = store.open_account(Account("eve@x", BOB, BOB, home, ann.maildir))
        with refused(ErrorKind.TEMPORARY) as caught:
            eve.open_mailbox(INBOX)
        cause = caught.value.__cause__
        assert isinstance(cause, OSError)
        assert cause.errno == errno.EACCES
        store.pool.close()


# --- one message for many owners ----------------------------------------------------------------


@pytest.mark.parametrize("size", [10, SMALL * 2])
async def test_each_owner_gets_a_file_of_his_own(store: MailStore, size: int) -> None:
    """A link would belong to the first recipient: unreadable, and on the wrong disk quota."""
    targets = [opened(store, n, u) for n, u in (("ann", ANN), ("al", ANN), ("bob", BOB))]
    message = Incoming(targets[0])
    message.write(b"z" * size)
    results = await store.pool.run(message.deliver_many, targets)
    message.abort()
    status = [
        (target.maildir / "new" / result.filename).stat()
        for target, result in zip(targets, results, strict=True)
        if isinstance(result, Delivered)
    ]
    assert [s.st_size for s in status] == [size] * 3
    assert [s.st_uid for s in status] == [ANN, ANN, BOB]
    assert status[0].st_ino == status[1].st_ino != status[2].st_ino
    for target in targets:
        assert list((target.maildir / "tmp").iterdir()) == []


@pytest.mark.parametrize("moving", [False, True])
async def test_messages_go_from_one_owner_to_another(
    store: MailStore, ann: AccountStore, bob: AccountStore, moving: bool
) -> None:
    """Where a service lets one into the folder of another: shared folders."""
    here, there = ann.open_mailbox(INBOX), bob.open_mailbox(INBOX)
    here.refresh()
    uids = list(here.uids)
    pairs = await store.pool.run(here.move if moving else here.copy, uids, there)
    assert [uid for uid, _ in pairs] == uids
    assert b"secret of ann" in there.read(pairs[0][1])
    assert len(here) == (0 if moving else 1)
    assert owners_of(bob.account.home) == {(BOB, BOB)}
    assert owners_of(ann.account.home) == {(ANN, ANN)}
    here.release()
    there.release()


async def test_one_recipient_that_cannot_be_served_does_not_stop_the_others(
    store: MailStore, ann: AccountStore, bob: AccountStore
) -> None:
    bob.maildir.rename(bob.account.home / "aside")
    bob.maildir.symlink_to(ann.maildir)
    carl = opened(store, "carl", ANN)
    message = Incoming(ann)
    message.write(b"x\r\n")
    results = await store.pool.run(message.deliver_many, [ann, bob, carl])
    assert [isinstance(result, Delivered) for result in results] == [True, False, True]


# --- many at once -------------------------------------------------------------------------------


async def at_random(store: MailStore, jobs: int) -> None:
    """Many threads at random owners; every job also looks at who its thread is before."""
    count = 6
    targets = [opened(store, f"user{n}", ANN + n) for n in range(count)]
    dice = random.Random(7)

    def job(target: AccountStore, action: int) -> None:
        assert fsuid() == 0, f"the thread is still {fsuid()}"
        if action == 0:
            put(target)
        elif action == 1:
            inbox = target.open_mailbox(INBOX)
            try:
                inbox.refresh()
                for uid in list(inbox.uids)[-2:]:
                    inbox.read(uid)
            finally:
                inbox.release()
        elif action == 2:
            assert owners_of(target.maildir / "new") == {(target.account.uid,) * 2}
        else:
            with refused(ErrorKind.NO_SUCH_FOLDER):
                target.open_mailbox(("None",))
        assert fsuid() == 0, f"the thread stayed {fsuid()}"

    await asyncio.gather(
        *(store.pool.run(job, dice.choice(targets), dice.randrange(4)) for _ in range(jobs))
    )
    assert fsuid() == 0
    for target in targets:
        assert owners_of(target.account.home) == {(target.account.uid,) * 2}


async def test_many_threads_at_random_owners(store: MailStore) -> None:
    await at_random(store, 600)


async def test_known_bad_an_identity_that_stays_is_seen(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forget(_: object) -> None:
        identity._thread.identity = None  # what a missing system call would look like

    store = MailStore(root, hints=Hints(), pool=StorePool(4))
    for number in range(6):
        opened(store, f"user{number}", ANN + number)
    with monkeypatch.context() as patch:
        patch.setattr(identity, "_restore", forget)
        with pytest.raises((AssertionError, MailError, PermissionError)):
            await asyncio.to_thread(asyncio.run, at_random(store, 50))
    store.pool.close()  # its threads are whoever they are

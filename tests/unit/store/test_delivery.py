"""Deliveries, with every system call failing in its turn."""

import errno
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restante.model import INBOX, Account, ErrorKind, Flag, MailError, MessageName, Quota
from restante.store import delivery, durable
from restante.store.account import AccountStore, MailStore
from restante.store.delivery import SMALL, Delivered, Incoming
from restante.store.hints import Hints
from restante.store.pool import StorePool
from restante.store.volume import create_volume

MESSAGE = b"Subject: hello\r\n\r\nbody\0\r\n.\r\nbare\rcr\r\n"


class Published(Hints):
    """Remembers what was published."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[tuple[Path, tuple[str, ...]]] = []

    def publish(self, maildir: Path, folder: tuple[str, ...]) -> None:
        self.all.append((maildir, folder))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MailStore]:
    create_volume(tmp_path)
    store = MailStore(tmp_path, hints=Published(), pool=StorePool(1))
    yield store
    store.handles.close()


def account(store: MailStore, name: str = "fred", quota: str = "") -> AccountStore:
    home = store.mail_root / "example.test" / name[:1] / name[:2] / name
    opened = store.open_account(
        Account(
            f"{name}@example.test",
            os.getuid(),
            os.getgid(),
            home,
            home / "Maildir",
            quota=Quota.parse(quota),
        )
    )
    opened.ensure()
    return opened


@pytest.fixture
def fred(store: MailStore) -> AccountStore:
    return account(store)


def incoming(target: AccountStore, *chunks: bytes) -> Incoming:
    message = Incoming(target.maildir, uid=os.getuid(), gid=os.getgid())
    for chunk in chunks or (MESSAGE,):
        message.write(chunk)
    return message


def files(target: AccountStore, folder: str = ".") -> dict[str, list[str]]:
    root = target.maildir / folder
    return {part: sorted(p.name for p in (root / part).iterdir()) for part in ("tmp", "new", "cur")}


def assert_clean(target: AccountStore) -> None:
    assert files(target) == {"tmp": [], "new": [], "cur": []}


# -- the usual ways ------------------------------------------------------------------------------


def test_a_small_message(store: MailStore, fred: AccountStore) -> None:
    before = int(time.time())
    message = incoming(fred, MESSAGE[:20], MESSAGE[20:])
    done = message.deliver(fred, last=True)
    path = fred.maildir / "new" / done.filename
    stored = MESSAGE.replace(b"\r\n", b"\n")
    assert path.read_bytes() == stored
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (done.size, done.wire_size) == (len(stored), len(MESSAGE))
    assert (message.size, message.wire_size) == (len(stored), len(MESSAGE))
    parsed = MessageName.parse(done.filename)
    assert (parsed.base, parsed.size, parsed.wire_size) == (done.base, done.size, done.wire_size)
    assert before <= done.date <= int(time.time()) + 1
    assert done.directory == "new"
    assert files(fred)["tmp"] == []
    assert isinstance(store.hints, Published)
    assert store.hints.all == [(fred.maildir, INBOX)]


def test_an_appended_message(fred: AccountStore) -> None:
    done = incoming(fred).deliver(
        fred, ("Drafts",), flags=Flag.SEEN | Flag.DRAFT, date=981173106, last=True
    )
    path = fred.maildir / ".Drafts" / "cur" / done.filename
    assert done.filename == done.base + ":2,DS"
    assert (done.directory, done.date, int(path.stat().st_mtime)) == ("cur", 981173106, 981173106)
    plain = incoming(fred).deliver(fred, ("Drafts",), current=True, last=True)
    assert plain.filename == plain.base + ":2,"
    assert (fred.maildir / ".Drafts" / "cur" / plain.filename).exists()


def test_a_large_message_is_streamed(fred: AccountStore) -> None:
    message = incoming(fred, b"Subject: large\r\n\r\n")
    line = b"x" * 998 + b"\r\n"
    while message.size <= SMALL:
        assert files(fred)["tmp"] == []
        assert message.fits_in_memory(len(line)) == (message.size + len(line) <= SMALL)
        message.write(line)
    assert not message.fits_in_memory(1)
    assert len(files(fred)["tmp"]) == 1
    message.write(line * 1000 + b"end\r")
    done = message.deliver(fred, last=True)
    data = (fred.maildir / "new" / done.filename).read_bytes()
    assert len(data) == done.size == message.size
    assert done.wire_size == len(data) + data.count(b"\n")
    assert data.endswith(b"end\r")
    assert files(fred)["tmp"] == []


def test_an_empty_message(fred: AccountStore) -> None:
    done = Incoming(fred.maildir).deliver(fred, last=True)
    assert (done.size, done.wire_size) == (0, 0)


def test_aborted(fred: AccountStore) -> None:
    message = incoming(fred, b"x" * (SMALL + 1))
    assert len(files(fred)["tmp"]) == 1
    message.abort()
    message.abort()
    assert_clean(fred)
    with pytest.raises(MailError):
        message.deliver(fred, last=True)
    with pytest.raises(MailError):
        message.write(b"more")


def test_a_missing_maildir_is_made(store: MailStore) -> None:
    target = account(store)
    os.rename(target.maildir, target.maildir.parent / "gone")
    done = incoming(target).deliver(target, last=True)
    assert (target.maildir / "new" / done.filename).exists()
    os.rename(target.maildir, target.maildir.parent / "gone too")  # while its handle is kept
    late = incoming(target).deliver(target, last=True)
    # It went where the directories are now: at most MAX_AGE seconds old.
    assert (target.maildir.parent / "gone too" / "new" / late.filename).exists()


def test_a_removed_maildir_is_made_again_at_once(fred: AccountStore) -> None:
    import shutil

    incoming(fred).deliver(fred, last=True)
    shutil.rmtree(fred.maildir)
    done = incoming(fred).deliver(fred, last=True)
    assert (fred.maildir / "new" / done.filename).exists()


def test_an_unmounted_volume_takes_no_mail(store: MailStore, fred: AccountStore) -> None:
    os.unlink(store.mail_root / ".restante-volume")
    os.rename(store.mail_root / "example.test", store.mail_root / "elsewhere")
    store.handles.close()
    with pytest.raises(MailError) as caught:
        incoming(fred).deliver(fred, last=True)
    assert caught.value.kind is ErrorKind.TEMPORARY
    assert not (store.mail_root / "example.test").exists()


def test_a_missing_folder(fred: AccountStore) -> None:
    with pytest.raises(MailError) as caught:
        incoming(fred).deliver(fred, ("Nowhere",), last=True)
    assert caught.value.kind is ErrorKind.NO_SUCH_FOLDER


@pytest.mark.parametrize("part", ["new", "tmp"])
def test_a_symlinked_directory_takes_no_mail(tmp_path: Path, fred: AccountStore, part: str) -> None:
    (tmp_path / "victim").mkdir()
    (fred.maildir / part).rmdir()
    (fred.maildir / part).symlink_to(tmp_path / "victim")
    with pytest.raises(MailError) as caught:
        incoming(fred).deliver(fred, last=True)
    assert caught.value.kind is ErrorKind.TEMPORARY
    assert list((tmp_path / "victim").iterdir()) == []


@pytest.mark.parametrize("part", ["new", "tmp"])
def test_a_missing_subdirectory_is_completed(fred: AccountStore, part: str) -> None:
    (fred.maildir / ".Sent" / part).rmdir()
    incoming(fred).deliver(fred, ("Sent",), last=True)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b"x" * 50_000, b"\0", b"."]), max_size=12))
def test_every_byte_arrives(tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes]) -> None:
    from restante.store.lines import to_stored, to_wire

    root = tmp_path_factory.mktemp("volume")
    create_volume(root)
    store = MailStore(root, hints=Hints(), pool=StorePool(1))
    target = account(store)
    done = incoming(target, *chunks).deliver(target, last=True) if chunks else None
    if done is not None:
        data = (target.maildir / "new" / done.filename).read_bytes()
        assert data == to_stored(b"".join(chunks))
        assert (done.size, done.wire_size) == (len(data), len(to_wire(data)))
    store.handles.close()


# -- many recipients -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, SMALL * 2])
def test_many_recipients_share_one_file(store: MailStore, size: int) -> None:
    targets = [account(store, name) for name in ("anna", "bert", "carl")]
    message = incoming(targets[0], b"y" * size)
    results = message.deliver_many(targets)
    inodes = set()
    for target, result in zip(targets, results, strict=True):
        assert isinstance(result, Delivered)
        inodes.add((target.maildir / "new" / result.filename).stat().st_ino)
        assert files(target)["tmp"] == []
    assert len(inodes) == 1


@pytest.mark.parametrize("size", [10, SMALL * 2])
def test_one_by_one_with_and_without_a_prefix(store: MailStore, size: int) -> None:
    targets = [account(store, name) for name in ("anna", "bert", "carl", "dora")]
    body = b"y" * size
    message = incoming(targets[0], body)
    prefixes = [b"", b"Delivered-To: b\r\n", b"", b"Delivered-To: d\r\n"]
    done = [
        message.deliver(target, prefix=prefix, last=target is targets[-1])
        for target, prefix in zip(targets, prefixes, strict=True)
    ]
    for target, prefix, result in zip(targets, prefixes, done, strict=True):
        path = target.maildir / "new" / result.filename
        assert path.read_bytes() == prefix.replace(b"\r\n", b"\n") + body
        assert result.size == path.stat().st_size
        assert result.wire_size == len(prefix) + len(body)
        assert files(target)["tmp"] == []
    first, third = (targets[n].maildir / "new" / done[n].filename for n in (0, 2))
    assert first.stat().st_ino == third.stat().st_ino


def test_a_mailing_list(store: MailStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many recipients, few directories are open at a time."""
    targets = [account(store, f"user{number}") for number in range(70)]
    store.handles.close()
    most = [0]
    real_link = os.link

    def link(*args: Any, **kwargs: Any) -> None:
        most[0] = max(most[0], len(os.listdir("/proc/self/fd")))
        real_link(*args, **kwargs)

    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(os, "link", link)
    results = incoming(targets[0]).deliver_many(targets)
    assert all(isinstance(result, Delivered) for result in results)
    assert most[0] - before < 4 * 100
    assert all(len(files(target)["new"]) == 1 for target in targets)
    store.handles.close()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_one_recipient_s_failure_is_its_own(store: MailStore) -> None:
    anna, carl = account(store, "anna"), account(store, "carl")
    bert = account(store, "bert", "5S")
    results = incoming(anna).deliver_many([anna, bert, carl])
    assert isinstance(results[0], Delivered)
    assert isinstance(results[1], MailError)
    assert results[1].kind is ErrorKind.OVER_QUOTA
    assert isinstance(results[2], Delivered)
    assert files(bert)["new"] == []
    for target in (anna, bert, carl):
        assert files(target)["tmp"] == []


def test_the_last_recipient_fails(store: MailStore) -> None:
    anna, bert = account(store, "anna"), account(store, "bert", "5S")
    message = incoming(anna)
    results = message.deliver_many([anna, bert])
    assert isinstance(results[0], Delivered)
    assert isinstance(results[1], MailError)
    message.abort()
    assert files(anna)["tmp"] == []


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOTSUP])
@pytest.mark.parametrize("size", [10, SMALL * 2])
def test_where_links_are_impossible_it_is_copied(
    store: MailStore, monkeypatch: pytest.MonkeyPatch, code: int, size: int
) -> None:
    targets = [account(store, name) for name in ("anna", "bert", "carl")]
    message = incoming(targets[0], b"z" * size)
    real_rename = os.rename

    def rename(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        if os.fstat(src_dir_fd).st_ino != _tmp_of(dst_dir_fd):
            raise OSError(code, "another volume")
        real_rename(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    def link(*_: object, **__: object) -> None:
        raise OSError(code, "no links")

    monkeypatch.setattr(os, "rename", rename)
    monkeypatch.setattr(os, "link", link)
    results = message.deliver_many(targets)
    message.abort()
    for target, result in zip(targets, results, strict=True):
        assert isinstance(result, Delivered), result
        assert (target.maildir / "new" / result.filename).read_bytes() == b"z" * size
        assert files(target)["tmp"] == []


def _tmp_of(new: int) -> int:
    return os.stat("../tmp", dir_fd=new).st_ino


def test_another_owner_gets_a_file_of_its_own(
    store: MailStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link would belong to the first recipient: unreadable, and on the wrong disk quota."""
    given_away: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", lambda _fd, uid, gid: given_away.append((uid, gid)))
    targets = []
    for uid, name in ((5001, "anna"), (5001, "bert"), (5002, "carl")):
        home = store.mail_root / name
        target = store.open_account(Account(f"{name}@x", uid, 500, home, home / "Maildir"))
        target.ensure()
        targets.append(target)
    given_away.clear()
    message = Incoming(targets[0].maildir, uid=5001, gid=500)
    message.write(MESSAGE)
    results = message.deliver_many(targets)
    inodes = [
        (target.maildir / "new" / result.filename).stat().st_ino
        for target, result in zip(targets, results, strict=True)
        if isinstance(result, Delivered)
    ]
    assert inodes[0] == inodes[1] != inodes[2]
    assert given_away == [(5001, 500), (5002, 500)]


# -- faults --------------------------------------------------------------------------------------


def failing(
    monkeypatch: pytest.MonkeyPatch, name: str, code: int, *, on: Callable[..., bool] | None = None
) -> list[int]:
    """Let the os function fail (after the first `on` that says so); returns where it counts."""
    real = getattr(os, name)
    count: list[int] = []

    def fail(*args: Any, **kwargs: Any) -> Any:
        if on is None or on(*args, **kwargs):
            count.append(1)
            raise OSError(code, "injected")
        return real(*args, **kwargs)

    monkeypatch.setattr(os, name, fail)
    return count


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
        message = Incoming(fred.maildir)

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
    monkeypatch.setattr(delivery, "unique_name", lambda: next(names))
    monkeypatch.setattr(durable, "unique_name", lambda: next(names))
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


# -- quota ---------------------------------------------------------------------------------------


def test_over_quota_leaves_nothing(store: MailStore) -> None:
    target = account(store, "gert", "100S,2C")
    incoming(target, b"x" * 60).deliver(target, last=True)
    with pytest.raises(MailError) as caught:
        incoming(target, b"x" * 60).deliver(target, last=True)
    assert caught.value.kind is ErrorKind.OVER_QUOTA
    incoming(target, b"x" * 40).deliver(target, last=True)
    with pytest.raises(MailError):
        incoming(target, b"").deliver(target, last=True)
    assert len(files(target)["new"]) == 2
    assert files(target)["tmp"] == []
    state = target.quota()
    assert (state.used_bytes, state.used_messages) == (100, 2)
    incoming(target, b"x" * 500).deliver(target, ("Trash",), last=True)  # does not count
    assert target.quota() == state


def test_a_raised_quota_holds_at_once(store: MailStore) -> None:
    target = account(store, "gert", "100S")
    incoming(target, b"x" * 90).deliver(target, last=True)
    assert account(store, "gert", "1000S") is target
    incoming(target, b"x" * 90).deliver(target, last=True)
    assert (target.maildir / "maildirsize").read_text().startswith("1000S\n")


# -- idempotent deliveries -----------------------------------------------------------------------


def test_a_key_delivers_once(fred: AccountStore) -> None:
    first = incoming(fred).deliver(fred, key="k", last=True)
    again = incoming(fred, b"Received: later\r\n", MESSAGE).deliver(fred, key="k", last=True)
    assert not first.duplicate
    assert again.duplicate
    assert (again.base, again.size) == (first.base, first.size)
    assert len(files(fred)["new"]) == 1
    other = incoming(fred).deliver(fred, key="other", last=True)
    assert not other.duplicate
    assert files(fred)["tmp"] == []


def test_a_key_is_one_account_s(store: MailStore) -> None:
    anna, bert = account(store, "anna"), account(store, "bert")
    message = incoming(anna)
    assert not message.deliver(anna, key="k", last=False).duplicate
    assert not message.deliver(bert, key="k", last=True).duplicate
    assert files(anna)["tmp"] == []


@pytest.mark.parametrize("what", ["moved", "flagged", "removed", "filed"])
def test_a_key_is_known_after_a_reader(fred: AccountStore, what: str) -> None:
    done = incoming(fred).deliver(fred, key="k", last=True)
    path = fred.maildir / "new" / done.filename
    if what == "moved":
        path.rename(fred.maildir / "cur" / f"{done.base}:2,")
    elif what == "flagged":
        path.rename(fred.maildir / "cur" / f"{done.base}:2,RS")
    elif what == "removed":
        path.unlink()
    else:
        path.rename(fred.maildir / ".Archive" / "cur" / f"{done.base}:2,S")
    again = incoming(fred).deliver(fred, key="k", last=True)
    assert again.duplicate
    assert again.base == done.base


@pytest.mark.parametrize("where", ["new", "cur"])
def test_a_key_is_known_after_a_crash(fred: AccountStore, where: str) -> None:
    """The message arrived and the record was lost."""
    done = incoming(fred).deliver(fred, key="k", last=True)
    (fred.maildir / "restante.keys").unlink()
    if where == "cur":
        (fred.maildir / "new" / done.filename).rename(fred.maildir / "cur" / f"{done.base}:2,S")
    assert incoming(fred).deliver(fred, key="k", last=True).duplicate


def test_a_damaged_record_does_no_harm(fred: AccountStore) -> None:
    incoming(fred).deliver(fred, key="k", last=True)
    path = fred.maildir / "restante.keys"
    damaged = bytearray(path.read_bytes())
    damaged[30] ^= 1
    path.write_bytes(bytes(damaged) + b"torn")
    assert incoming(fred).deliver(fred, key="k", last=True).duplicate  # by its name
    assert not incoming(fred).deliver(fred, key="l", last=True).duplicate
    assert incoming(fred).deliver(fred, key="l", last=True).duplicate
    path.write_bytes(b"something else entirely, and long enough for a record or two" * 3)
    assert not incoming(fred).deliver(fred, key="m", last=True).duplicate
    assert incoming(fred).deliver(fred, key="m", last=True).duplicate


def test_the_same_key_at_once(fred: AccountStore) -> None:
    def deliver(_: int) -> Delivered:
        message = incoming(fred)
        try:
            return message.deliver(fred, key="k", last=True)
        finally:
            message.abort()

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(deliver, range(16)))
    assert sum(not result.duplicate for result in results) == 1
    assert len(files(fred)["new"]) == 1
    assert files(fred)["tmp"] == []


def test_a_failed_delivery_does_not_use_up_its_key(
    fred: AccountStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        failing(patch, "rename", errno.EIO)
        with pytest.raises(MailError):
            incoming(fred).deliver(fred, key="k", last=True)
    assert not incoming(fred).deliver(fred, key="k", last=True).duplicate

"""Deliveries: messages large and small, recipients one and many, quota, keys."""

import errno
import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restante.model import INBOX, ErrorKind, Flag, MailError, MessageName
from restante.store.account import AccountStore, MailStore
from restante.store.delivery import SMALL, Delivered, Incoming
from restante.store.hints import Hints
from restante.store.pool import StorePool
from restante.store.volume import create_volume
from tests.unit.store.delivering import (
    MESSAGE,
    Published,
    account,
    assert_clean,
    failing,
    files,
    fred,
    incoming,
    store,
)

__all__ = ["fred", "store"]  # fixtures


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
    done = Incoming(fred).deliver(fred, last=True)
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

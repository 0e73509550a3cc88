"""restante.index: records, torn tails, damage, replacing, and full disks."""

import errno
import os
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restante.model import ErrorKind, Flag, MailError
from restante.store import journal as journal_module
from restante.store import records
from restante.store.changes import StoreMode
from restante.store.index import Index, Replay
from restante.store.journal import NAME, Journal, open_journal
from restante.store.records import HEADER_BYTES, SLOT, Added, Header, Kind
from tests.unit.store.support import Volume, contents


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    return Volume(tmp_path)


def index_path(volume: Volume) -> Path:
    return volume.maildir / NAME


# --- records ------------------------------------------------------------------------------------

_rows = st.lists(
    st.tuples(
        st.integers(0, 63),
        st.integers(0, 2**64 - 1),
        st.integers(0, 2**40),
        st.integers(-(2**40), 2**40),
        st.binary(min_size=1, max_size=255),
    ),
    max_size=30,
)


@given(_rows, st.sets(st.integers(0, 29)))
def test_a_snapshot_is_read_back(rows: list[Any], gone: set[int]) -> None:
    index = Index(77)
    replay = Replay(index)
    for uid, (flags, bits, size, date, base) in enumerate(rows, 1):
        added = records.pack_add(Added(uid, flags, bits, size, date, base))
        data = records.encode(Kind.ADD, added, 77, uid + 1, uid)
        record = records.record_at(memoryview(data), 0)
        assert record is not None
        assert record.end == len(data)
        assert len(data) % SLOT == 0
        replay.apply(record)
    removed = records.pack_uids(uid + 1 for uid in sorted(gone) if uid < len(rows))
    record = records.record_at(memoryview(records.encode(Kind.EXPUNGE, removed, 77, 99, 60)), 0)
    assert record is not None
    replay.apply(record)
    replay.finish()
    left = [row for at, row in enumerate(rows) if at not in gone]
    data = b"".join(index.snapshot())
    again = Index(77)
    replay = Replay(again)
    for record in records.records(memoryview(data), 0):
        replay.apply(record)
    replay.finish()
    columns = again.columns
    assert [
        (columns.flags[r], columns.keyword_bits[r], columns.wire_sizes[r], columns.dates[r])
        for r in range(len(columns))
    ] == [row[:4] for row in left]
    assert list(columns.bases()) == [row[4] for row in left]
    assert (again.uidnext, again.highest_modseq) == (99, 60)
    assert again.vanished is not None
    assert len(again.vanished[0]) == len(rows) - len(left)


@given(st.binary(max_size=200), st.integers(0, 250), st.integers(0, 255))
def test_a_changed_byte_is_noticed(payload: bytes, at: int, new: int) -> None:
    data = bytearray(records.encode(Kind.FLAGS, payload, 1, 2, 3))
    used = 32 + len(payload)
    at %= used
    same = data[at] == new
    data[at] = new
    assert (records.record_at(memoryview(data), 0) is not None) == same


def test_either_copy_of_the_header_will_do() -> None:
    header = Header(1, 2, 3)
    data = bytearray(header.encode())
    assert Header.decode(bytes(data)) == header
    data[9] ^= 1
    assert Header.decode(bytes(data)) == header
    data[70] ^= 1
    assert Header.decode(bytes(data)) is None
    assert records.decode_mark(bytes(data)) == 0


# --- damage -------------------------------------------------------------------------------------


def test_a_torn_tail_is_dropped(volume: Volume) -> None:
    for _ in range(3):
        volume.deliver()
    before = contents(volume.mailbox())
    uidvalidity = volume.mailbox().uidvalidity
    with index_path(volume).open("ab") as file:
        file.write(records.encode(Kind.EXPUNGE, records.pack_uids([1]), 1, 1, 1)[:40])
    survivor = volume.mailbox()
    assert contents(survivor) == before
    assert survivor.uidvalidity == uidvalidity
    volume.deliver()
    survivor.refresh()
    assert survivor.uids[-1] >= 4
    assert contents(volume.mailbox()) == contents(survivor)


def test_zeros_after_a_power_cut_are_dropped(volume: Volume) -> None:
    volume.deliver()
    mailbox = volume.mailbox()
    with index_path(volume).open("ab") as file:
        file.write(bytes(4096))
    volume.deliver()
    mailbox.refresh()
    assert len(mailbox) == 2
    assert mailbox.uids[1] > 1 + 4096 // SLOT, "the zeros might have given out UIDs"
    assert contents(volume.mailbox()) == contents(mailbox)


@pytest.mark.parametrize("seed", range(12))
def test_damage_anywhere_loses_no_message_and_reuses_no_uid(volume: Volume, seed: int) -> None:
    choice = random.Random(seed)
    mailbox = volume.mailbox()
    for _ in range(12):
        volume.deliver()
        mailbox.refresh()
    mailbox.store([2, 5], StoreMode.SET, Flag.SEEN, ["red"])
    mailbox.expunge()
    mailbox.remove([12])  # the highest UID has no message any more
    known = {mailbox.base_name(row): uid for row, uid in enumerate(mailbox.uids)}
    data = bytearray(index_path(volume).read_bytes())
    for _ in range(choice.randint(1, 3)):
        at = choice.randrange(len(data))
        end = min(len(data), at + choice.choice((1, 10, 100, 400)))
        data[at:end] = choice.randbytes(end - at)
    index_path(volume).write_bytes(data)
    fresh = volume.mailbox()
    now = {fresh.base_name(row): uid for row, uid in enumerate(fresh.uids)}
    assert now.keys() == known.keys()
    if fresh.uidvalidity == mailbox.uidvalidity:
        for base, uid in now.items():
            assert uid == known[base] or uid > 12
    assert fresh.uidnext > 12 or fresh.uidvalidity > mailbox.uidvalidity
    assert contents(volume.mailbox()) == contents(fresh), "the damage is mended for good"


def test_a_file_without_anything_valid_gets_a_new_uidvalidity(volume: Volume) -> None:
    volume.deliver()
    old = volume.mailbox()
    view = old.view()
    index_path(volume).write_bytes(b"\xff" * 5000)
    fresh = volume.mailbox()
    assert fresh.uidvalidity > old.uidvalidity
    assert list(fresh.uids) == [1]
    old.refresh()
    assert not view.valid
    with pytest.raises(MailError) as caught:
        view.poll(expunge=True)
    assert caught.value.kind is ErrorKind.GONE


def test_an_older_file_put_back_makes_no_uid_mean_two_messages(volume: Volume) -> None:
    volume.deliver()
    mailbox = volume.mailbox()
    backup = index_path(volume).read_bytes()
    first = volume.deliver()
    mailbox.refresh()
    view = mailbox.view()
    mailbox.remove([2])
    index_path(volume).write_bytes(backup)
    second = volume.deliver()
    mailbox.refresh()
    assert list(mailbox.uids) == [1, 3]
    assert mailbox.base_name(1) == second != first
    assert view.poll(expunge=True).vanished == [2]


# --- replacing ----------------------------------------------------------------------------------


def test_a_holder_of_the_old_file_notices_the_new_one(volume: Volume) -> None:
    folder = os.open(volume.maildir, os.O_RDONLY)
    with open_journal(folder) as journal:
        journal.begin(5, [b""])
    with open_journal(folder) as journal:
        old = os.dup(journal.fd)
        journal.replace(5, [Index(5).record(Kind.NEXT, b"")])
        assert journal.header is not None
        assert journal.header.generation == 2
        assert os.fstat(journal.fd).st_ino != os.fstat(old).st_ino
        journal.append(Index(5).record(Kind.NEXT, b""))
    assert records.decode_mark(os.pread(old, HEADER_BYTES, 0)) == 2
    with open_journal(folder) as journal:
        assert os.fstat(journal.fd).st_ino != os.fstat(old).st_ino
    os.close(old)
    os.close(folder)


def test_a_mark_without_a_new_file_is_removed(volume: Volume) -> None:
    volume.deliver()
    mailbox = volume.mailbox()
    with index_path(volume).open("r+b") as file:
        file.seek(records.MARK_AT)
        file.write(records.encode_mark(2))
    volume.deliver()
    assert mailbox.refresh()
    assert records.decode_mark(index_path(volume).read_bytes()) == 0


def test_a_replacement_that_fails_leaves_the_old_file(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume.deliver()
    mailbox = volume.mailbox()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    folder = os.open(volume.maildir, os.O_RDONLY)
    with open_journal(folder) as journal, monkeypatch.context() as patched:
        patched.setattr(os, "rename", full)
        with pytest.raises(OSError, match="full"):
            journal.replace(5, [])
    os.close(folder)
    assert contents(volume.mailbox()) == contents(mailbox)
    assert not (volume.maildir / journal_module._FRESH).exists()


# --- full disk ----------------------------------------------------------------------------------


class FullDisk:
    """Makes every write to a journal fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = True
        real = os.pwrite

        def pwrite(fd: int, data: bytes, at: int) -> int:
            if self.full:
                real(fd, bytes(data)[:10], at)  # some of it fits
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(fd, data, at)

        monkeypatch.setattr(os, "pwrite", pwrite)


def test_reading_flags_and_deleting_work_when_the_disk_is_full(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        volume.deliver()
    mailbox, other = volume.mailbox(), volume.mailbox()
    view = mailbox.view()
    disk = FullDisk(monkeypatch)
    assert mailbox.read(1)
    assert mailbox.remove([1]) == [1]
    assert mailbox.store([2], StoreMode.ADD, Flag.DELETED).changed == [2]
    assert mailbox.expunge() == [2]
    assert mailbox.store([3], StoreMode.ADD, Flag.SEEN).changed == [3]
    with pytest.raises(MailError) as caught:
        mailbox.store([4], StoreMode.ADD, Flag(0), ["red"])
    assert caught.value.kind is ErrorKind.TEMPORARY
    assert view.poll(expunge=True).vanished == [1, 2]
    volume.drop("9.later")
    mailbox.refresh()
    assert list(mailbox.uids) == [3, 4], "a UID that is not on disk is not announced"
    assert volume.mailbox().uidvalidity == mailbox.uidvalidity, "a new process reads, too"
    disk.full = False
    mailbox.refresh()
    last = mailbox.uids[2]
    assert last > 4
    assert contents(mailbox) == {3: (Flag.SEEN, set()), 4: (Flag(0), set()), last: (Flag(0), set())}
    assert view.poll(expunge=True).exists == 3
    other.refresh()
    assert contents(other) == contents(mailbox) == contents(volume.mailbox())


def test_a_folder_that_was_never_opened_is_served_when_the_disk_is_full(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume.deliver()
    volume.deliver()
    disk = FullDisk(monkeypatch)
    mailbox = volume.mailbox()
    assert list(mailbox.uids) == [1, 2]
    assert mailbox.read(2)
    mailbox.refresh()
    assert mailbox.remove([1]) == [1]
    uidvalidity = mailbox.uidvalidity
    disk.full = False
    mailbox.refresh()
    assert (list(mailbox.uids), mailbox.uidvalidity) == ([2], uidvalidity)
    assert contents(volume.mailbox()) == contents(mailbox)


def test_append_that_fails_leaves_no_message(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailbox = volume.mailbox()
    disk = FullDisk(monkeypatch)
    with pytest.raises(MailError) as caught:
        mailbox.append(volume.incoming(), Flag.SEEN)
    assert caught.value.kind is ErrorKind.TEMPORARY
    disk.full = False
    mailbox.refresh(scan=True)
    assert volume.names() == []
    assert len(mailbox) == 0


def test_a_failed_sync_is_not_a_success(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    volume.deliver()
    mailbox = volume.mailbox()

    def broken(_: int) -> None:
        raise OSError(errno.EIO, "I/O error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", broken)
        with pytest.raises(MailError) as caught:
            mailbox.store([1], StoreMode.ADD, Flag(0), ["red"])
    assert caught.value.kind is ErrorKind.TEMPORARY
    mailbox.refresh()
    assert contents(volume.mailbox()) == contents(mailbox)


def test_journal_is_compacted(volume: Volume) -> None:
    volume.deliver()
    mailbox, other = volume.mailbox(), volume.mailbox()
    before = index_path(volume).read_bytes()[:HEADER_BYTES]
    for number in range(1100):
        mailbox.store([1], StoreMode.SET, Flag(number % 2), [])
    assert index_path(volume).read_bytes()[:HEADER_BYTES] != before
    assert index_path(volume).stat().st_size < 20_000
    other.refresh()
    assert contents(other) == contents(mailbox) == contents(volume.mailbox())


def test_journal_type_is_what_open_journal_yields(volume: Volume) -> None:
    folder = os.open(volume.maildir, os.O_RDONLY)
    with open_journal(folder) as journal:
        assert isinstance(journal, Journal)
        assert journal.header is None
        assert journal.size == 0
    os.close(folder)

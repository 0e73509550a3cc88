"""What other programs do in new/ and cur/, and when the directories are looked at."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from restante.model import Flag
from restante.store import reconcile as reconcile_module
from restante.store import scan
from restante.store.changes import StoreMode
from restante.store.mailbox import Mailbox
from restante.store.names import unique_name
from restante.store.scan import settling_is_due, split, with_flags
from tests.unit.store.support import MESSAGE, Volume, contents


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    return Volume(tmp_path)


@contextmanager
def listings() -> Iterator[list[str]]:
    """Collect which directories are listed."""
    seen: list[str] = []
    real = scan.list_directory

    def listed(folder: int, name: str) -> list[bytes]:
        seen.append(name)
        return real(folder, name)

    vars(reconcile_module)["list_directory"] = listed
    try:
        yield seen
    finally:
        vars(reconcile_module)["list_directory"] = real


def settle(mailbox: Mailbox) -> None:
    """Refresh until both directories are settled: each round a tick of the clock may pass."""
    for _ in range(10_000):
        mailbox.refresh()
        index = mailbox.index
        assert index is not None
        if index.new_settled and index.cur_settled:
            return
    pytest.fail("the directories never settle")


def rename(volume: Volume, old: str, new: str) -> None:
    os.rename(volume.maildir / old, volume.maildir / new)


# --- when to look -------------------------------------------------------------------------------


def test_nothing_is_listed_when_nothing_moved(volume: Volume) -> None:
    volume.deliver()
    settle(volume.mailbox())
    with listings() as seen:
        mailbox = volume.mailbox()
        mailbox.refresh()
    assert seen == []
    assert len(mailbox) == 1


def test_new_mail_in_a_large_folder_does_not_list_cur(volume: Volume) -> None:
    for _ in range(300):
        volume.drop(unique_name() + ":2,S", where="cur")
    mailbox = volume.mailbox()
    settle(mailbox)
    volume.deliver()
    with listings() as seen:
        mailbox.refresh()
        mailbox.store([301], StoreMode.ADD, Flag.SEEN)
        mailbox.refresh()
    assert len(mailbox) == 301
    assert set(seen) == {"new"}


def test_a_change_in_the_tick_of_the_listing_is_found(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that comes right after the listing, and leaves the mtime as it was."""
    volume.deliver()
    mailbox = volume.mailbox()
    settle(mailbox)
    name = mailbox.base_name(0)
    real = scan.list_directory

    def listed(folder: int, directory: str) -> list[bytes]:
        names = real(folder, directory)
        path = volume.maildir / directory
        before = path.stat().st_mtime_ns
        if directory == "cur":
            rename(volume, f"cur/{name}:2,S", f"cur/{name}:2,FS")
            monkeypatch.setattr(reconcile_module, "list_directory", real)
        os.utime(path, ns=(before, before))
        return names

    rename(volume, f"cur/{name}:2,", f"cur/{name}:2,S")
    # The clock stands still: a coarse one, as some volumes have.
    mtime = (volume.maildir / "cur").stat().st_mtime_ns
    monkeypatch.setattr("restante.store.journal.Journal.clock", lambda _: mtime)
    monkeypatch.setattr(reconcile_module, "list_directory", listed)
    mailbox.refresh()
    assert contents(mailbox) == {1: (Flag.SEEN, set())}
    monkeypatch.undo()
    settle(mailbox)
    assert contents(mailbox) == {1: (Flag.SEEN | Flag.FLAGGED, set())}


def test_what_slipped_in_beside_our_own_rename_is_found(volume: Volume) -> None:
    volume.deliver()
    volume.deliver()
    mailbox = volume.mailbox()
    settle(mailbox)
    first, second = (mailbox.base_name(row) for row in (0, 1))
    with mailbox.turn() as turn, turn.changing_cur():
        rename(volume, f"cur/{first}:2,", f"cur/{first}:2,F")  # ours, say
        rename(volume, f"cur/{second}:2,", f"cur/{second}:2,R")
    settle(mailbox)
    assert contents(mailbox) == {1: (Flag.FLAGGED, set()), 2: (Flag.ANSWERED, set())}


def test_a_change_before_our_own_rename_is_not_hidden(volume: Volume) -> None:
    volume.deliver()
    volume.deliver()
    mailbox = volume.mailbox()
    settle(mailbox)
    rename(volume, f"cur/{mailbox.base_name(1)}:2,", f"cur/{mailbox.base_name(1)}:2,R")
    mailbox.store([1], StoreMode.ADD, Flag.SEEN)
    mailbox.refresh()
    assert contents(mailbox) == {1: (Flag.SEEN, set()), 2: (Flag.ANSWERED, set())}


def test_settling_is_put_off_as_the_folder_grows() -> None:
    second = 1_000_000_000
    assert settling_is_due(0, 10_000_000, 10)
    assert not settling_is_due(0, 10 * second, 100_000)
    assert settling_is_due(0, 61 * second, 10_000_000)
    assert settling_is_due(5, 0, 100_000), "a clock that is behind the volume's puts nothing off"


# --- other programs -----------------------------------------------------------------------------


def test_flags_that_mutt_changed(volume: Volume) -> None:
    volume.deliver()
    mailbox = volume.mailbox()
    mailbox.store([1], StoreMode.SET, Flag(0), ["red"])
    modseq = mailbox.highest_modseq
    base = mailbox.base_name(0)
    rename(volume, f"cur/{base}:2,", f"cur/{base}:2,FRS")
    assert mailbox.refresh(scan=True)
    assert contents(mailbox) == {1: (Flag.FLAGGED | Flag.ANSWERED | Flag.SEEN, {"red"})}
    assert mailbox.modseqs[0] == mailbox.highest_modseq > modseq


def test_store_merges_with_what_mutt_changed_meanwhile(volume: Volume) -> None:
    volume.deliver()
    mailbox = volume.mailbox()
    base = mailbox.base_name(0)
    rename(volume, f"cur/{base}:2,", f"cur/{base}:2,F")
    assert mailbox.store([1], StoreMode.ADD, Flag.SEEN).changed == [1]
    assert contents(mailbox) == {1: (Flag.FLAGGED | Flag.SEEN, set())}
    assert volume.names() == [f"{base}:2,FS"]


def test_expunge_leaves_what_mutt_undeleted(volume: Volume) -> None:
    volume.deliver()
    mailbox = volume.mailbox()
    mailbox.store([1], StoreMode.ADD, Flag.DELETED)
    base = mailbox.base_name(0)
    rename(volume, f"cur/{base}:2,T", f"cur/{base}:2,")
    assert mailbox.expunge() == []
    mailbox.refresh(scan=True)
    assert contents(mailbox) == {1: (Flag(0), set())}


def test_store_on_a_removed_file(volume: Volume) -> None:
    volume.deliver()
    volume.deliver()
    mailbox = volume.mailbox()
    os.unlink(volume.maildir / "cur" / volume.names()[0])
    result = mailbox.store([1, 2, 7], StoreMode.ADD, Flag.SEEN)
    assert (result.changed, sorted(result.gone)) == ([2], [1, 7])


def test_messages_that_mutt_moved_from_new_keep_their_flags(volume: Volume) -> None:
    mailbox = volume.mailbox()
    base = volume.deliver()
    rename(volume, f"new/{base}", f"cur/{base}:2,S")
    mailbox.refresh()
    assert contents(mailbox) == {1: (Flag.SEEN, set())}


def test_a_known_message_found_in_new_keeps_its_uid(volume: Volume) -> None:
    """As after a power cut that undid the rename."""
    volume.deliver()
    mailbox = volume.mailbox()
    mailbox.store([1], StoreMode.SET, Flag.SEEN, ["red"])
    base = mailbox.base_name(0)
    rename(volume, f"cur/{base}:2,S", f"new/{base}")
    for opened in (volume.mailbox(), mailbox):
        opened.refresh(scan=True)
        assert contents(opened) == {1: (Flag.SEEN, {"red"})}
    assert volume.names("new") == []


def test_one_listing_that_misses_a_file_expunges_nothing(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume.deliver()
    mailbox = volume.mailbox()
    view = mailbox.view()
    real = scan.list_directory
    missed: list[list[bytes]] = []

    def listed(folder: int, name: str) -> list[bytes]:
        names = real(folder, name)
        if name == "cur" and not missed:
            missed.append(names)
            return []
        return names

    monkeypatch.setattr(reconcile_module, "list_directory", listed)
    mailbox.refresh(scan=True)
    assert missed
    assert list(mailbox.uids) == [1]
    assert not view.pending()
    os.unlink(volume.maildir / "cur" / volume.names()[0])
    mailbox.refresh(scan=True)
    assert view.poll(expunge=True).vanished == [1]


def test_two_messages_with_one_base_name(volume: Volume) -> None:
    volume.drop("5.same:2,S", b"one\n", where="cur")
    volume.drop("5.same:2,F", b"two\n", where="cur")
    mailbox = volume.mailbox()
    mailbox.refresh(scan=True)
    assert sorted(mailbox.read(uid) for uid in mailbox.uids) == [b"one\r\n", b"two\r\n"]
    assert len({mailbox.base_name(row) for row in range(2)}) == 2
    before = contents(mailbox)
    volume.drop("5.same", b"three\n")
    mailbox.refresh(scan=True)
    assert sorted(mailbox.read(uid) for uid in mailbox.uids) == [
        b"one\r\n",
        b"three\r\n",
        b"two\r\n",
    ]
    assert {uid: contents(mailbox)[uid] for uid in before} == before
    assert contents(volume.mailbox()) == contents(mailbox)


def test_two_links_of_one_file_are_one_message(volume: Volume) -> None:
    volume.drop("5.same:2,S", b"one\n", where="cur")
    mailbox = volume.mailbox()
    os.link(volume.maildir / "cur/5.same:2,S", volume.maildir / "cur/5.same:2,F")
    os.link(volume.maildir / "cur/5.same:2,S", volume.maildir / "new/5.same")
    mailbox.refresh(scan=True)
    assert list(mailbox.uids) == [1]
    assert mailbox.read(1) == b"one\r\n"
    assert len(volume.names()) == 1
    assert volume.names("new") == []


def test_what_is_no_message_is_left_alone(volume: Volume) -> None:
    volume.drop(".nfs00001", where="cur")
    volume.drop(".hidden")
    os.mkdir(volume.maildir / "cur" / "directory:2,S")
    os.mkdir(volume.maildir / "new" / "directory")
    os.symlink("/etc/passwd", volume.maildir / "new" / "link")
    volume.deliver()
    mailbox = volume.mailbox()
    mailbox.refresh(scan=True)
    assert len(mailbox) == 1
    assert volume.names("new") == [".hidden", "directory", "link"]


def test_names_of_any_bytes(volume: Volume) -> None:
    names = [b"1.\xff\xfe", "2.ü".encode(), b"3.a b\n", b"4." + b"x" * 240]
    for name in names:
        volume.drop(name)
    mailbox = volume.mailbox()
    assert [os.fsencode(mailbox.base_name(row)) for row in range(4)] == names
    assert len(mailbox.read(1)) == 17
    mailbox.store(list(mailbox.uids), StoreMode.ADD, Flag.SEEN)
    assert set(os.listdir(os.fsencode(volume.maildir / "cur"))) == {n + b":2,S" for n in names}
    other = volume.mailbox()
    assert contents(other) == contents(mailbox)
    uidls = [other.uidl(row) for row in range(4)]
    assert all(uidl.isascii() and uidl.isprintable() and 0 < len(uidl) <= 70 for uidl in uidls)
    assert len(set(uidls)) == 4


def test_letters_and_names_of_others_survive(volume: Volume) -> None:
    volume.drop("1.dovecot:2,Sab", where="cur")
    volume.drop("2.bare", where="cur")
    mailbox = volume.mailbox()
    mailbox.store([1, 2], StoreMode.ADD, Flag.FLAGGED)
    assert volume.names() == ["1.dovecot:2,FSab", "2.bare:2,F"]
    other = volume.mailbox()
    assert other.read(1)
    assert other.remove([1, 2]) == [1, 2]


def test_a_message_without_read_permission_does_not_stop_the_folder(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> int:
        raise PermissionError(13, "no")

    monkeypatch.setattr(scan, "measure", refused)
    volume.drop("1.x")
    volume.deliver()
    assert len(volume.mailbox()) == 2


@pytest.mark.parametrize(
    ("name", "flags", "result"),
    [
        (b"1.a:2,S", 2, b"1.a:2,A"),
        (b"1.a", 1, b"1.a:2,S"),
        (b"1.a:2,Sbz", 4, b"1.a:2,Fbz"),
        (b"1.a:2,S,x", 0, b"1.a:2,"),
    ],
)
def test_with_flags(name: bytes, flags: int, result: bytes) -> None:
    assert with_flags(name, flags) == result.replace(b"2,A", b"2,R")
    assert split(result.replace(b"2,A", b"2,R"))[1] == flags


# --- other servers ------------------------------------------------------------------------------


def test_courier_folder_keeps_uids_uidls_keywords(volume: Volume) -> None:
    for number in (1, 2, 3):
        volume.drop(f"{number}.a.host:2,", MESSAGE, where="cur")
    (volume.maildir / "courierimapuiddb").write_text("1 555 90\n20 1.a.host\n33 3.a.host\n")
    (volume.maildir / "courierpop3dsizelist").write_text("/3 9 555\n3.a.host 26 7:555:0\n")
    os.mkdir(volume.maildir / "courierimapkeywords")
    (volume.maildir / "courierimapkeywords" / ":list").write_text("red\nwork\n\n1.a.host:0 1\n")
    mailbox = volume.mailbox()
    assert (mailbox.uidvalidity, mailbox.uidnext) == (555, 91)
    assert list(mailbox.uids) == [20, 33, 90]
    assert [mailbox.base_name(row) for row in range(3)] == ["1.a.host", "3.a.host", "2.a.host"]
    assert mailbox.uidl(1) == "UID7-555"
    assert contents(mailbox)[20] == (Flag(0), {"red", "work"})
    assert mailbox.recent == 1, "only what Courier did not know"
    os.unlink(volume.maildir / "courierimapuiddb")
    again = volume.mailbox()
    assert contents(again) == contents(mailbox)
    assert again.uidl(1) == "UID7-555"
    assert volume.mailbox(("Sent",)).uidvalidity > 555


def test_dovecot_folder_keeps_keywords_by_letter(volume: Volume) -> None:
    volume.drop("1.a:2,Sb", where="cur")
    (volume.maildir / "dovecot-uidlist").write_text("3 V777 N9 Gabc\n4 W17 :1.a\n")
    (volume.maildir / "dovecot-keywords").write_text("0 zero\n1 $Label1\n")
    mailbox = volume.mailbox()
    assert contents(mailbox) == {4: (Flag.SEEN, {"$Label1"})}
    assert (mailbox.uidvalidity, mailbox.uidnext) == (777, 9)
    assert mailbox.uidl(0) == "0000000400000309"

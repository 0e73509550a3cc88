"""What a run writes, and that a manifest is one moment of an account that is in use."""

import os
import subprocess
import tarfile
import threading
from pathlib import Path

import pytest

from restante.model import INBOX, ErrorKind, Flag, MailError
from restante.store.backup import save as saving
from restante.store.backup.frozen import open_message
from restante.store.backup.packs import PackReader
from restante.store.backup.place import AccountPlace, addresses
from restante.store.changes import StoreMode
from tests.unit.store.backup.support import WORK, Backed


@pytest.fixture
def backed(tmp_path: Path) -> Backed:
    return Backed(tmp_path)


def test_the_first_run_has_everything(backed: Backed) -> None:
    saved = backed.save()
    assert (saved.full, saved.messages, saved.added, saved.lost) == (True, 6, 6, 0)
    manifest = backed.place.read(saved.run)
    folders = {folder.name: folder for folder in manifest.folders}
    inbox = backed.volume.mailbox()
    assert folders[INBOX].uidvalidity == inbox.uidvalidity
    assert folders[INBOX].uidnext == 6
    assert [row.uid for row in folders[INBOX].rows] == [1, 2, 3, 4, 5]
    assert folders[INBOX].rows[0].flags == Flag.SEEN | Flag.FLAGGED
    assert folders[INBOX].rows[0].keywords == ("red", "$Big")
    assert folders[WORK].special_use == "\\Important"
    assert folders[WORK].subscribed
    with PackReader(backed.place) as packs:
        packs.open({saved.run})
        text = b"".join(packs.chunks(folders[INBOX].rows[0]))
    assert text == b"Subject: 0\n\nMessage 0.\n"


def test_later_runs_write_only_what_is_new(backed: Backed) -> None:
    first = backed.save()
    assert backed.save().added == 0
    backed.deliver(7)
    third = backed.save()
    assert (third.full, third.added, third.messages) == (False, 1, 7)
    assert backed.place.read(third.run).chain == first.run
    backed.volume.mailbox().store([3], StoreMode.ADD, Flag.SEEN)
    fourth = backed.save()
    assert fourth.added == 0
    rows = backed.place.read(fourth.run).folders[0].rows
    assert rows[2].flags == Flag.SEEN
    assert {row.pack for row in rows} == {first.run, third.run}


def test_chains_are_removed_as_a_whole(backed: Backed) -> None:
    for _ in range(2):
        backed.save()
    backed.deliver(7)
    backed.save()
    full = backed.save(full=True, keep=1)
    assert full.removed == 3
    assert backed.place.runs() == [full.run]
    assert sorted(os.listdir(backed.place.path)) == [
        f"{full.run}.json.gz",
        f"{full.run}.tar",
        "lock",
    ]
    assert full.added == 7


def test_the_tar_alone_gives_mail_back(backed: Backed, tmp_path: Path) -> None:
    saved = backed.save()
    tar = backed.place.tar(saved.run)
    assert tar.stat().st_mode & 0o777 == 0o600
    subprocess.run(["tar", "xf", tar, "-C", tmp_path], check=True)
    texts = {path.read_bytes() for path in (tmp_path / "Maildir" / "cur").iterdir()}
    assert b"Subject: 4\n\nMessage 4.\n" in texts
    assert len(texts) == 5
    assert len(list((tmp_path / "Maildir" / ".Work.2026" / "cur").iterdir())) == 1
    with tarfile.open(tar) as archive:
        assert all(member.isreg() for member in archive)


def test_what_a_killed_run_left_is_removed(backed: Backed) -> None:
    backed.save()
    for name in ("20300101T000000Z.tar", "20300101T000000Z.tar.part", "x.json.gz.part"):
        (backed.place.path / name).write_bytes(b"rest")
    backed.save()
    assert not [name for name in os.listdir(backed.place.path) if "2030" in name or "part" in name]


def test_a_damaged_backup_is_noticed(backed: Backed) -> None:
    saved = backed.save()
    row = backed.place.read(saved.run).folders[0].rows[1]
    with open(backed.place.tar(saved.run), "r+b") as file:
        file.seek(row.offset + 3)
        file.write(b"!")
    with PackReader(backed.place) as packs:
        packs.open({saved.run})
        with pytest.raises(MailError) as caught:
            packs.check(row)
    assert caught.value.kind is ErrorKind.CORRUPT
    manifest = backed.place.manifest_path(saved.run)
    whole = manifest.read_bytes()
    for damaged in (whole[:-9], whole[:40], whole[:60] + b"\xff" + whole[61:], b""):
        manifest.write_bytes(damaged)
        with pytest.raises(MailError) as caught:
            backed.place.read(saved.run)
        assert caught.value.kind is ErrorKind.CORRUPT


def test_two_runs_of_one_account_exclude_each_other(backed: Backed) -> None:
    with backed.place.locked(), pytest.raises(MailError, match="another backup"):
        backed.save()


@pytest.mark.parametrize(
    ("at", "number"), [("", 2), ("2026-11-22", 1), ("2026-11-22T15:00", 1), ("20261122T145959Z", 0)]
)
def test_runs_are_chosen_by_time(tmp_path: Path, at: str, number: int) -> None:
    place = AccountPlace(tmp_path, "a@b.test")
    place.path.mkdir(parents=True)
    runs = ["20261122T145900Z", "20261122T150000Z", "20261123T000000Z"]
    for run in runs:
        place.manifest_path(run).write_bytes(b"")
    assert place.choose(at) == runs[number]
    with pytest.raises(MailError) as caught:
        place.choose("2025-01-01")
    assert caught.value.kind is ErrorKind.NOT_FOUND


@pytest.mark.parametrize("address", ["fred@example.test", "a/../b@x.test", ".x@y.test", "local"])
def test_no_address_leaves_the_target(tmp_path: Path, address: str) -> None:
    place = AccountPlace(tmp_path, address)
    with place.locked():
        assert tmp_path in place.path.resolve().parents
        assert len(place.path.relative_to(tmp_path).parts) == 2
        assert ".." not in place.path.relative_to(tmp_path).parts
    assert addresses(tmp_path) == [address]


def test_a_message_that_moves_while_it_is_read_is_saved(
    backed: Backed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two messages leave for the other folder just before they are read."""
    real = open_message
    mover = backed.volume.account()
    here, there = mover.open_mailbox(INBOX), mover.open_mailbox(WORK)
    moves = 0

    def move_first(folder: object, row: int) -> int:
        nonlocal moves
        if moves < 2:  # both in the first round, which holds no locks
            moves += 1
            here.refresh()
            uids = list(here.uids)[:1]
            if moves == 1:  # as clients without MOVE do it
                here.copy(uids, there)
                here.remove(uids)
            else:
                here.move(uids, there)
        return real(folder, row)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(saving, "open_message", move_first)
    monkeypatch.setattr(saving, "_READERS", 1)
    saved = backed.save()
    assert saved.lost == 0
    bases = {row.base for folder in backed.place.read(saved.run).folders for row in folder.rows}
    assert len(bases) == 6


def test_nothing_escapes_a_run_while_messages_wander(backed: Backed) -> None:
    """Two threads move messages to and fro, and take flags on and off, during many runs."""
    done = threading.Event()
    faults: list[BaseException] = []

    def wander() -> None:
        account = backed.volume.account()
        names = (INBOX, WORK)
        try:
            while not done.is_set():
                for source, target in (names, names[::-1]):
                    here, there = account.open_mailbox(source), account.open_mailbox(target)
                    here.refresh()
                    here.store(list(here.uids), StoreMode.ADD, Flag.SEEN)
                    here.move(list(here.uids)[:3], there)
                    here.release()
                    there.release()
        except BaseException as fault:  # a broken wanderer breaks the test
            faults.append(fault)

    before = {text for texts in backed.state().values() for text in texts}
    wanderer = threading.Thread(target=wander)
    wanderer.start()
    try:
        for number in range(8):
            saved = backed.save(full=number % 2 == 0)
            rows = [r for folder in backed.place.read(saved.run).folders for r in folder.rows]
            with PackReader(backed.place) as packs:
                packs.open({row.pack for row in rows})
                texts = {b"".join(packs.chunks(row)).replace(b"\n", b"\r\n") for row in rows}
            assert texts == before
            assert len(rows) == len(before)
    finally:
        done.set()
        wanderer.join()
    assert faults == []


def test_files_that_cannot_be_read_are_counted(backed: Backed) -> None:
    name = backed.volume.names()[0]
    path = backed.volume.maildir / "cur" / name
    path.unlink()
    os.mkfifo(path)
    assert backed.save().unreadable == 1

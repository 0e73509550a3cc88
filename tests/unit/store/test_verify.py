"""What `restante mail verify` finds, and what it mends."""

import os
from pathlib import Path

import pytest

from restante.model import Flag
from restante.store.changes import StoreMode
from restante.store.verify import Grade, Verified, verify
from tests.unit.store.support import Volume, contents


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    volume = Volume(tmp_path, quota="1000000S")
    for _ in range(3):
        volume.deliver()
    volume.mailbox()
    volume.account().quota()
    return volume


def look(volume: Volume, *, deep: bool = True, repair: bool = False) -> Verified:
    return verify(volume.account(), deep=deep, repair=repair)


def serious(found: Verified) -> list[str]:
    return [flaw.text for flaw in found.flaws if flaw.grade is not Grade.NOTE and not flaw.repaired]


def test_a_good_account_has_no_flaws(volume: Volume) -> None:
    found = look(volume)
    assert serious(found) == []
    assert (found.folders, found.messages, found.errors) == (6, 3, 0)


def test_new_mail_is_only_a_note(volume: Volume) -> None:
    volume.deliver()
    found = look(volume)
    assert serious(found) == []
    assert [f.text for f in found.flaws if f.folder == ()] == ["1 messages have no UID yet"]
    look(volume, repair=True)
    assert volume.names("new") == []


def test_a_damaged_index_is_salvaged(volume: Volume) -> None:
    volume.mailbox().store([2], StoreMode.SET, Flag.SEEN, ["red"])
    index = volume.maildir / "restante.index"
    data = bytearray(index.read_bytes())
    data[192 + 20] ^= 1  # in the head of the first record
    index.write_bytes(data)
    assert any("restante.index is damaged" in text for text in serious(look(volume)))
    assert serious(look(volume, repair=True)) == []
    assert serious(look(volume)) == []
    assert len(contents(volume.mailbox())) == 3


def test_messages_without_files(volume: Volume) -> None:
    os.unlink(volume.maildir / "cur" / volume.names()[0])
    assert "1 messages of the index have no file" in serious(look(volume))
    assert serious(look(volume, repair=True)) == []
    assert serious(look(volume)) == []


def test_sizes_and_empty_files(volume: Volume) -> None:
    first, second, third = volume.names()
    os.truncate(volume.maildir / "cur" / first, 5)
    os.truncate(volume.maildir / "cur" / second, 0)
    path = volume.maildir / "cur" / third
    path.write_bytes(path.read_bytes().replace(b"\n", b"x", 1))
    texts = serious(look(volume))
    assert any("has 5 bytes, its name says" in text for text in texts)
    assert any("is empty" in text for text in texts)
    assert any("bytes with CRLF" in text for text in texts)
    assert len(serious(look(volume, deep=False))) == 2
    assert len(serious(look(volume, repair=True))) == 3, "messages are never changed"


def test_the_quota_file(volume: Volume) -> None:
    with (volume.maildir / "maildirsize").open("a") as file:
        file.write("        1000            1\n")
    assert any("maildirsize says" in text for text in serious(look(volume)))
    assert serious(look(volume, repair=True)) == []
    assert serious(look(volume)) == []


def test_directories_marks_and_modes(volume: Volume) -> None:
    (volume.maildir / ".Drafts" / "new").rmdir()
    (volume.maildir / "restante.account").write_bytes(b"")
    (volume.maildir / "cur").chmod(0o777)
    (volume.maildir / ".Half").mkdir()
    (volume.maildir / ".Link").symlink_to("/")
    texts = serious(look(volume))
    assert "there is no new" in texts
    assert "restante.account is behind its folders' UIDVALIDITY" in texts
    assert "everybody may write to cur" in texts
    assert ".Half has no cur/, so it is no folder" in texts
    assert ".Link is a symbolic link" in texts
    left = serious(look(volume, repair=True))
    assert sorted(left) == [".Half has no cur/, so it is no folder", ".Link is a symbolic link"]
    assert (volume.maildir / "cur").stat().st_mode & 0o777 == 0o775


def test_what_is_no_file(volume: Volume) -> None:
    (volume.maildir / "cur" / "x:2,").mkdir()
    assert "cur/x:2, is not a file" in serious(look(volume))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_owners(volume: Volume) -> None:
    os.chown(volume.maildir / "cur" / volume.names()[0], 12345, 12345)
    os.chown(volume.maildir / "restante.index", 12345, 12345)
    texts = serious(look(volume))
    assert any("1 messages belong to another uid" in text for text in texts)
    assert any("restante.index belongs to 12345:12345" in text for text in texts)

"""Other servers' lists: what they mean, and that damage never breaks an opening."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restante.store.importers import UidList, import_folder
from restante.store.importers.keywords import (
    parse_courier_keywords,
    parse_dovecot_keywords,
    parse_pending,
)
from restante.store.importers.pop3 import parse_courier_sizelist
from restante.store.importers.uids import parse_courier_uiddb, parse_dovecot_uidlist

UIDDB = b"1 1200000000 8\n3 100.M1P1.host,S=10\n7 200.M1P1.host,S=20\n"
UIDLIST = (
    b"3 V1300000000 N20 G1234abcd\n"
    b"5 W30 :100.M1P1.host,S=10\n"
    b"9 PUID77-1 S20 O3 :200.M1P1.host,S=20:2,S\n"
)
SIZELIST = (
    b"/3 12 1400000000\n"
    b"100.M1P1.host,S=10 12 4:1400000000:0\n"
    b"200.M1P1.host,S=20:2,S 23 5:0:1\n"
    b"300.M1 P1.host!,S=5 7 0:1400000000:0\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    fd = os.open(tmp_path, os.O_RDONLY)
    yield tmp_path, fd
    os.close(fd)


def test_courier_uiddb() -> None:
    assert parse_courier_uiddb(UIDDB) == UidList(
        1200000000, 8, {"100.M1P1.host,S=10": 3, "200.M1P1.host,S=20": 7}
    )


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", None),
        (b"2 5 6\n", None),
        (b"1 0 6\n", None),
        (b"1 4294967296 6\n", None),
        (b"1 5 6", UidList(5, 6)),
        # uidnext is never below a UID that is in use
        (b"1 5 2\n9 a\n", UidList(5, 10, {"a": 9})),
        # torn, repeated and impossible lines are left out, the first of two stays
        (
            b"1 5 2\n1 a\n1 b\n2 a\nx c\n3\n4 d/e\n-5 f\n6 g:2,S\n7 h",
            UidList(5, 8, {"a": 1, "g": 6, "h": 7}),
        ),
    ],
)
def test_damaged_uiddb(data: bytes, expected: UidList | None) -> None:
    assert parse_courier_uiddb(data) == expected


def test_dovecot_uidlist() -> None:
    assert parse_dovecot_uidlist(UIDLIST) == UidList(
        1300000000,
        20,
        {"100.M1P1.host,S=10": 5, "200.M1P1.host,S=20": 9},
        {"100.M1P1.host,S=10": "000000054d7c6d00", "200.M1P1.host,S=20": "UID77-1"},
    )


def test_dovecot_uidlist_version_1() -> None:
    listed = parse_dovecot_uidlist(b"1 16 9\n3 a:2,S\n")
    assert listed == UidList(16, 9, {"a": 3}, {"a": "0000000300000010"})


@pytest.mark.parametrize("data", [b"", b"4 V1 N2", b"3 N2 Gx", b"3 Vx N2", b"1\n"])
def test_damaged_uidlist(data: bytes) -> None:
    assert parse_dovecot_uidlist(data) is None


def test_courier_sizelist() -> None:
    found = parse_courier_sizelist(SIZELIST)
    assert found.uidls == {
        "100.M1P1.host,S=10": "UID4-1400000000",
        "200.M1P1.host,S=20": "UID5",
        "300.M1 P1.host!,S=5": "300.M1+20P1.host+21,S=5",
    }
    assert found.wire_sizes["200.M1P1.host,S=20"] == 23


def test_courier_sizelist_version_2_and_damage() -> None:
    found = parse_courier_sizelist(b"/2 1 7\na 5 1:7\nb 5\nc x 2:7\n\nd 5 1:7\ne 5 3:\n")
    assert found.uidls == {"a": "UID1-7"}  # d repeats a UIDL: it gets another one later
    assert parse_courier_sizelist(b"/9 1 7\na 5 1:7\n").uidls == {}


def test_courier_keywords() -> None:
    data = b"$Label1\nwork\nbad(word\n\n100.host,S=1:0 1\n200.host:2 9 x 1\n300.host:\nnonsense\n"
    assert parse_courier_keywords(data) == {
        "100.host,S=1": ("$Label1", "work"),
        "200.host": ("work",),
        "300.host": (),
    }


def test_pending_keywords() -> None:
    assert parse_pending(b"a\nb\nA\n\n") == ("a", "b")


def test_dovecot_keywords() -> None:
    data = b"0 $Forwarded\n1 work\n26 toofar\n3 bad word\n1 again\nx y\n"
    assert parse_dovecot_keywords(data) == {"a": "$Forwarded", "b": "work"}


def test_a_folder_of_courier(folder: tuple[Path, int]) -> None:
    path, fd = folder
    (path / "courierimapuiddb").write_bytes(UIDDB)
    (path / "courierpop3dsizelist").write_bytes(SIZELIST)
    pending = path / "courierimapkeywords"
    pending.mkdir()
    (pending / ":list").write_bytes(b"old\nsame\n\n100.M1P1.host,S=10:0\nkept:1\ngone:1\n")
    (pending / ".5000.100.M1P1.host,S=10").write_bytes(b"older\n")
    (pending / ".6000.100.M1P1.host,S=10").write_bytes(b"newer\n")
    (pending / "gone").write_bytes(b"")
    (pending / ".tmp").write_bytes(b"x\n")
    found = import_folder(fd)
    assert (found.uidvalidity, found.uidnext) == (1200000000, 8)
    assert found.uids["200.M1P1.host,S=20"] == 7
    assert found.uidls["100.M1P1.host,S=10"] == "UID4-1400000000"
    assert found.keywords == {"100.M1P1.host,S=10": ("newer",), "kept": ("same",)}
    (pending / "100.M1P1.host,S=10").write_bytes(b"newest\n")
    assert import_folder(fd).keywords["100.M1P1.host,S=10"] == ("newest",)


def test_files_as_courier_5_wrote_them(folder: tuple[Path, int]) -> None:
    """Taken from a session with courier-imap 5.1 and courier-pop 1.1 of Debian 12."""
    path, fd = folder
    (path / "courierimapuiddb").write_text(
        "1 795340864 4\n1 1000000001.M1P1.host,S=13\n2 1000000002.M1P1.host,S=13\n"
    )
    (path / "courierpop3dsizelist").write_text(
        "/3 4 1795340878\n"
        "1000000001.M1P1.host,S=13:2,S 17 1:1795340878:0\n"
        "1000000002.M1P1.host,S=13:2, 17 2:1795340878:0\n"
    )
    (path / "courierimapkeywords").mkdir()
    (path / "courierimapkeywords" / ":list").write_text(
        "$Label1\nwork\n\n1795340864.M4P2V000000000000FE00I000000000024A3A2_0.vm,S=14:1 0\n"
    )
    (path / "courierimapkeywords" / "1000000001.M1P1.host,S=13").write_text("$Label1\nwork\n")
    found = import_folder(fd)
    assert (found.uidvalidity, found.uidnext) == (795340864, 4)
    assert found.uids == {"1000000001.M1P1.host,S=13": 1, "1000000002.M1P1.host,S=13": 2}
    assert found.uidls["1000000002.M1P1.host,S=13"] == "UID2-1795340878"
    assert found.keywords == {
        "1000000001.M1P1.host,S=13": ("$Label1", "work"),
        "1795340864.M4P2V000000000000FE00I000000000024A3A2_0.vm,S=14": ("work", "$Label1"),
    }


def test_the_newer_of_two_servers_gives_the_uids(folder: tuple[Path, int]) -> None:
    path, fd = folder
    (path / "courierimapuiddb").write_bytes(UIDDB)
    (path / "dovecot-uidlist").write_bytes(UIDLIST)
    (path / "dovecot-keywords").write_bytes(b"0 work\n")
    os.utime(path / "courierimapuiddb", (2000, 2000))
    os.utime(path / "dovecot-uidlist", (1000, 1000))
    assert import_folder(fd).uidvalidity == 1200000000
    os.utime(path / "dovecot-uidlist", (3000, 3000))
    found = import_folder(fd)
    assert found.uidvalidity == 1300000000
    assert found.letters == {"a": "work"}


def test_nothing_there(folder: tuple[Path, int]) -> None:
    assert not import_folder(folder[1])


def test_links_pipes_and_directories_are_not_read(folder: tuple[Path, int]) -> None:
    path, fd = folder
    (path / "elsewhere").write_bytes(UIDDB)
    (path / "courierimapuiddb").symlink_to("elsewhere")
    os.mkfifo(path / "dovecot-uidlist")
    (path / "courierpop3dsizelist").mkdir()
    (path / "courierimapkeywords").write_text("no directory")
    assert not import_folder(fd)


@given(
    st.binary()
    | st.lists(st.sampled_from([UIDDB, UIDLIST, SIZELIST, b"\n", b" ", b"1", b":"])).map(b"".join)
)
def test_no_bytes_break_a_parser(data: bytes) -> None:
    for listed in (parse_courier_uiddb(data), parse_dovecot_uidlist(data)):
        if listed is not None:
            assert len(set(listed.uids.values())) == len(listed.uids)
            assert all(0 < uid < listed.uidnext for uid in listed.uids.values())
    uidls = parse_courier_sizelist(data).uidls
    assert len(set(uidls.values())) == len(uidls)
    parse_courier_keywords(data)
    parse_dovecot_keywords(data)
    parse_pending(data)

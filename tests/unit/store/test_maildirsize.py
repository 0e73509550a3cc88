"""The quota file."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restante.model import Flag, Quota
from restante.store import maildirsize
from restante.store.layout import make_maildir, opened
from restante.store.maildirsize import Usage

LIMIT = Quota(1000, 10)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    with opened(tmp_path) as root:
        make_maildir(root, "Maildir")
    fd = os.open(tmp_path / "Maildir", os.O_RDONLY)
    for name in (".Work", ".Trash"):
        make_maildir(fd, name)
    yield tmp_path / "Maildir", fd
    os.close(fd)


def put(path: Path, size: int = 100) -> None:
    path.write_bytes(b"x" * size)


def text(path: Path) -> str:
    return (path / "maildirsize").read_text()


def test_counting(box: tuple[Path, int]) -> None:
    path, fd = box
    put(path / "new" / "a,S=70", 1)  # the name tells the size
    put(path / "cur" / "b:2,S", 30)
    put(path / "cur" / "c,S=500:2,ST")  # deleted
    put(path / ".Work" / "cur" / "d,S=5,W=6:2,")
    put(path / ".Trash" / "cur" / "e,S=900:2,")
    put(path / "tmp" / "f,S=900")
    put(path / "cur" / ".nfs0001")
    assert maildirsize.usage(fd, LIMIT) == Usage(105, 3)
    assert text(path) == "1000S,10C\n         105            3\n"


@pytest.mark.parametrize("row", ["%12s %12s\n", "%d %d\n", "  %d\t%d  \n"])
def test_every_program_s_lines_are_read(box: tuple[Path, int], row: str) -> None:
    path, fd = box
    (path / "maildirsize").write_text("1000S,10C\n" + row % (300, 2) + row % (-100, -1))
    assert maildirsize.usage(fd, LIMIT) == Usage(200, 1)
    maildirsize.add(fd, 50, 1)
    assert text(path).endswith("\n          50            1\n")
    assert maildirsize.usage(fd, LIMIT) == Usage(250, 2)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "1000S,10C",
        "1000S,10C\n",
        "2000S,10C\n 7 7\n",  # the account's quota has changed
        "nonsense\n 7 7\n",
        "1000S,10C\n 7\n",
        "1000S,10C\n 7 7 7\n",
        "1000S,10C\n 7 x\n",
        "1000S,10C\n 7 7",  # torn
        "1000S,10C\n -7 7\n",
        "1000S,10C\n 7 -7\n",
        "1000S,10C\n" + " 1 0\n" * 1500,
        "1000S,10C\n\0\0\0\0\n",
    ],
)
def test_a_file_that_cannot_be_trusted_is_counted_afresh(
    box: tuple[Path, int], content: str
) -> None:
    path, fd = box
    (path / "maildirsize").write_text(content)
    put(path / "cur" / "a,S=40:2,")
    assert maildirsize.usage(fd, LIMIT) == Usage(40, 1)
    assert text(path) == "1000S,10C\n          40            1\n"


def test_order_and_zero_in_the_definition_mean_the_same(box: tuple[Path, int]) -> None:
    path, fd = box
    (path / "maildirsize").write_text("10C,1000S\n 7 7\n")
    assert maildirsize.usage(fd, LIMIT) == Usage(7, 7)
    (path / "maildirsize").write_text("1000S,0C\n 8 8\n")
    assert maildirsize.usage(fd, Quota(1000)) == Usage(8, 8)


def test_exactly_the_limit_fits(box: tuple[Path, int]) -> None:
    path, fd = box
    (path / "maildirsize").write_text("1000S,10C\n 900 9\n")
    assert maildirsize.check(fd, LIMIT, 100, 1)
    assert not maildirsize.check(fd, LIMIT, 101, 1)
    assert not maildirsize.check(fd, LIMIT, 1, 2)
    assert maildirsize.check(fd, Quota(0, 0), 10**12, 10**9)


def test_nobody_is_refused_for_stale_numbers(box: tuple[Path, int]) -> None:
    path, fd = box
    file = path / "maildirsize"
    file.write_text("1000S,10C\n 900 9\n 90 0\n")  # two lines: perhaps wrong
    assert maildirsize.check(fd, LIMIT, 100, 1)
    file.write_text("1000S,10C\n 990 9\n")  # one line, fresh: believed
    assert not maildirsize.check(fd, LIMIT, 100, 1)
    old = time.time() - 16 * 60
    os.utime(file, (old, old))
    assert maildirsize.check(fd, LIMIT, 100, 1)


def test_a_file_of_5120_bytes_is_made_anew(box: tuple[Path, int]) -> None:
    path, fd = box
    maildirsize.usage(fd, LIMIT)
    while len(text(path)) < 5120:
        maildirsize.add(fd, 1, 0)
    put(path / "cur" / "a,S=40:2,")
    assert maildirsize.check(fd, LIMIT, 1, 1)
    assert text(path) == "1000S,10C\n          40            1\n"


def test_a_change_while_counting_marks_the_sum(
    box: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, fd = box
    real = maildirsize.count

    def count_slowly(maildir: int) -> Usage:
        counted = real(maildir)
        put(path / "new" / "late,S=10")
        return counted

    monkeypatch.setattr(maildirsize, "count", count_slowly)
    assert maildirsize.usage(fd, LIMIT) == Usage(0, 0)
    assert text(path).count("\n") == 3  # two lines of sums: counted again before a refusal


def test_one_thread_counts_while_the_others_go_on(
    box: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, fd = box
    (path / "maildirsize").write_text("1000S,10C\n" + " 0 0\n" * 1100)
    counting, finish = threading.Event(), threading.Event()
    real = maildirsize.count
    counts = []

    def count_slowly(maildir: int) -> Usage:
        counts.append(1)
        counting.set()
        finish.wait(10)
        return real(maildir)

    monkeypatch.setattr(maildirsize, "count", count_slowly)
    thread = threading.Thread(target=maildirsize.usage, args=(fd, LIMIT))
    thread.start()
    counting.wait(10)
    assert maildirsize.check(fd, LIMIT, 1, 1)  # does not wait
    (path / "maildirsize").unlink()
    results: list[Usage] = []
    waiting = threading.Thread(target=lambda: results.append(maildirsize.usage(fd, LIMIT)))
    waiting.start()  # has nothing to go on with, so it waits for the one that counts
    finish.set()
    thread.join()
    waiting.join()
    assert results == [Usage(0, 0)]
    assert len(counts) <= 2


def test_a_volume_that_cannot_be_written(
    box: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, fd = box
    put(path / "cur" / "a,S=40:2,")

    def full(*_: object) -> int:
        raise OSError(28, "ENOSPC")

    monkeypatch.setattr(os, "write", full)
    assert maildirsize.usage(fd, LIMIT) == Usage(40, 1)
    maildirsize.add(fd, 1, 1)  # harmless
    assert not (path / "maildirsize").exists()
    assert list((path / "tmp").iterdir()) == []


def test_without_a_file_nothing_is_added(box: tuple[Path, int]) -> None:
    path, fd = box
    maildirsize.add(fd, 1, 1)
    assert not (path / "maildirsize").exists()
    maildirsize.remove(fd)
    maildirsize.usage(fd, LIMIT)
    maildirsize.remove(fd)
    assert not (path / "maildirsize").exists()


def test_a_linked_file_is_not_written(tmp_path: Path, box: tuple[Path, int]) -> None:
    path, fd = box
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (path / "maildirsize").symlink_to(victim)
    maildirsize.add(fd, 1, 1)
    assert victim.read_text() == "mine"


def test_a_pipe_does_not_hold_us(box: tuple[Path, int]) -> None:
    path, fd = box
    os.mkfifo(path / "maildirsize")
    with pytest.raises(BlockingIOError):
        maildirsize.usage(fd, LIMIT)
    maildirsize.add(fd, 1, 1)


def test_what_counts() -> None:
    assert maildirsize.is_counted((), Flag.SEEN)
    assert not maildirsize.is_counted((), Flag.DELETED)
    assert not maildirsize.is_counted(("Trash",), Flag(0))
    assert maildirsize.is_counted(("Trash", "old"), Flag(0))


def test_concurrent_writers_lose_nothing(box: tuple[Path, int]) -> None:
    _, fd = box
    big = Quota(10**9)
    maildirsize.usage(fd, big)

    def write() -> None:
        for _ in range(20):
            maildirsize.add(fd, 3, 1)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert maildirsize.usage(fd, big) == Usage(480, 160)


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 100), st.integers(0, 100))
def test_fits(used: int, limit: int, more: int, count: int) -> None:
    fits = Usage(used, used).fits(Quota(limit, limit), more, count)
    assert fits == (not limit or (used + more <= limit and used + count <= limit))

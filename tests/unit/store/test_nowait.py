"""Reading from the kernel's memory: right or None, never away from the root, never waiting."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from restante.store import nowait
from restante.store.nowait import LIMIT, CachedReader


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[CachedReader]:
    if not nowait.is_local(tmp_path):
        pytest.skip("the folder for temporary files is not on a local file system")
    found = CachedReader(tmp_path)
    yield found
    found.close()


@pytest.mark.parametrize("size", [1, 4096, LIMIT - 1, LIMIT])
def test_what_was_just_written(reader: CachedReader, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "cur").mkdir()
    (tmp_path / "cur" / "m").write_bytes(data)
    assert reader.read(b"cur/m") == data


def test_what_is_left_to_the_pool(reader: CachedReader, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(LIMIT + 1))
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for name in (b"large", b"empty", b"folder", b"fifo", b"missing", b"a\0b"):
        assert reader.read(name) is None


def test_no_way_out(reader: CachedReader, tmp_path: Path) -> None:
    outside = tmp_path.parent / "outside"
    outside.write_bytes(b"secret")
    (tmp_path / "link").symlink_to(outside)
    (tmp_path / "up").symlink_to(tmp_path.parent)
    (tmp_path / "inside").write_bytes(b"x")
    (tmp_path / "alias").symlink_to("inside")
    for path in (b"link", b"up/outside", b"../outside", os.fsencode(outside), b"alias"):
        assert reader.read(path) is None
    assert reader.read(b"inside") == b"x"


def test_pages_that_are_not_in_memory(reader: CachedReader, tmp_path: Path) -> None:
    path = tmp_path / "cold"
    path.write_bytes(b"x" * 9000)
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    # A RAM disk has nothing else than memory.
    assert reader.read(b"cold") in (None, b"x" * 9000)
    path.read_bytes()
    assert reader.read(b"cold") == b"x" * 9000


def test_half_a_file_in_memory_is_not_a_file(
    reader: CachedReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m").write_bytes(b"x" * 8192)
    real = os.preadv

    def half(fd: int, buffers: tuple[memoryview], offset: int, flags: int) -> int:
        if offset:
            raise BlockingIOError
        return real(fd, [buffers[0][:4096]], offset, flags)

    monkeypatch.setattr(os, "preadv", half)
    assert reader.read(b"m") is None


def test_other_file_systems_are_never_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m").write_bytes(b"x")
    monkeypatch.setattr(nowait, "_LOCAL", frozenset())
    far = CachedReader(tmp_path)
    assert far.read(b"m") is None
    far.close()
    assert CachedReader(tmp_path / "missing").read(b"m") is None

"""Records of idempotent deliveries."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from restante.store import keyed
from restante.store.keyed import KEEP, keyed_deliveries
from restante.store.names import keyed_name


@pytest.fixture
def box(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    fd = os.open(tmp_path, os.O_RDONLY)
    yield tmp_path / keyed.NAME, fd
    os.close(fd)


def name(number: int) -> str:
    return keyed_name(str(number), "a@b")


def record(fd: int, number: int) -> None:
    with keyed_deliveries(fd) as known:
        known.record(name(number), number, number + 1)


def find(fd: int, number: int) -> bool:
    with keyed_deliveries(fd) as known:
        found = known.find(name(number))
    assert found is None or found[1:] == (number, number + 1)
    return found is not None


def test_found_again(box: tuple[Path, int]) -> None:
    _, fd = box
    for number in range(50):
        assert not find(fd, number)
        record(fd, number)
    assert all(find(fd, number) for number in range(50))


def test_old_ones_are_forgotten(box: tuple[Path, int], monkeypatch: pytest.MonkeyPatch) -> None:
    path, fd = box
    monkeypatch.setattr(keyed, "_COMPACT", 1000)
    for number in range(30):
        record(fd, number)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + KEEP + 1)
    assert not find(fd, 3)
    record(fd, 100)
    assert find(fd, 100)
    assert path.stat().st_size == 16 + 48
    for number in range(200, 230):
        record(fd, number)
    assert all(find(fd, number) for number in (100, *range(200, 230)))


@pytest.mark.parametrize("cut", [0, 5, 16, 17, 63, 64, 70, 111])
def test_torn(box: tuple[Path, int], cut: int) -> None:
    path, fd = box
    for number in (1, 2):
        record(fd, number)
    os.truncate(path, cut)
    assert find(fd, 1) == (cut >= 64)
    record(fd, 3)
    assert find(fd, 3)
    assert find(fd, 1) == (cut >= 64)


def test_a_file_of_something_else_is_not_believed(box: tuple[Path, int]) -> None:
    path, fd = box
    path.write_bytes(os.urandom(500))
    assert not find(fd, 1)
    record(fd, 1)
    assert find(fd, 1)

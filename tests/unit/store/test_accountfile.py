"""The high-water mark of UIDVALIDITY."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from restante.model import ErrorKind, MailError
from restante.store import accountfile
from restante.store.accountfile import next_uidvalidity, note_uidvalidity


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    return tmp_path


def test_values_rise_within_one_second(maildir: Path) -> None:
    before = int(time.time())
    values = [next_uidvalidity(maildir) for _ in range(20)]
    assert values == sorted(set(values))
    assert values[0] >= before


def test_a_clock_that_goes_back(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = next_uidvalidity(maildir)
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    assert next_uidvalidity(maildir) == first + 1


def test_imported_and_wished_values(maildir: Path) -> None:
    note_uidvalidity(maildir, 4_000_000_000)
    assert next_uidvalidity(maildir) == 4_000_000_001
    note_uidvalidity(maildir, 7)
    assert next_uidvalidity(maildir, 4_100_000_000) == 4_100_000_000
    note_uidvalidity(maildir, 1 << 40)  # none that IMAP has
    assert next_uidvalidity(maildir) == 4_100_000_001


def test_the_end(maildir: Path) -> None:
    note_uidvalidity(maildir, (1 << 32) - 1)
    with pytest.raises(MailError) as caught:
        next_uidvalidity(maildir)
    assert caught.value.kind is ErrorKind.CORRUPT


@pytest.mark.parametrize("at", range(16, 48))
def test_a_torn_write_leaves_the_older_value(
    maildir: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    older, newer = next_uidvalidity(maildir), next_uidvalidity(maildir)
    path = maildir / accountfile.NAME
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)
    value = next_uidvalidity(maildir)
    assert value in (older + 1, newer + 1)


@pytest.mark.parametrize("data", [b"", b"restante acct 1\n", b"x" * 100, b"restante acct 1\nabc"])
def test_a_damaged_file_counts_as_empty(maildir: Path, data: bytes) -> None:
    (maildir / accountfile.NAME).write_bytes(data)
    assert next_uidvalidity(maildir) < next_uidvalidity(maildir)


def test_many_at_once_get_different_values(maildir: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        values = list(pool.map(lambda _: next_uidvalidity(maildir), range(64)))
    assert len(set(values)) == 64


def test_a_value_is_durable_before_it_is_given(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    next_uidvalidity(maildir)

    def fail(_: int) -> None:
        raise OSError(5, "EIO")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(MailError) as caught:
        next_uidvalidity(maildir)
    assert caught.value.kind is ErrorKind.TEMPORARY

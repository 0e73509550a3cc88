"""Subscriptions in Courier's and Dovecot's files."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from restante.model import INBOX
from restante.store import subscriptions


@pytest.fixture
def box(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    (tmp_path / "tmp").mkdir()
    fd = os.open(tmp_path, os.O_RDONLY)
    yield tmp_path, fd
    os.close(fd)


def test_courier_s_file_is_kept(box: tuple[Path, int]) -> None:
    path, fd = box
    file = path / "courierimapsubscribed"
    file.write_text("INBOX.Work\n#shared.all.news\nINBOX.Entw&APw-rfe\ninbox\nINBOX.bad..name\n")
    assert subscriptions.subscriptions(fd) == [("Work",), ("Entwürfe",), INBOX]
    subscriptions.subscribe(fd, [("Neu", "R&D"), ("Entwürfe",), ("R&-D",)])
    assert file.read_text() == (
        "INBOX.Work\n#shared.all.news\nINBOX.Entw&APw-rfe\ninbox\nINBOX.bad..name\n"
        "INBOX.Neu.R&D\nINBOX.R&--D\n"
    )
    subscriptions.unsubscribe(fd, ("Entwürfe",))
    assert subscriptions.subscriptions(fd) == [("Work",), INBOX, ("Neu", "R&D"), ("R&-D",)]
    assert "#shared.all.news" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert list((path / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        "V\t2\n\nINBOX\nWork\t2026\nEntw&APw-rfe\n",
        "INBOX\nWork.2026\nEntwürfe\n",
        "INBOX\nINBOX.Work.2026\nINBOX.Entwürfe\n",
    ],
)
def test_dovecot_s_file_is_taken_over(box: tuple[Path, int], text: str) -> None:
    path, fd = box
    (path / "subscriptions").write_text(text)
    assert subscriptions.subscriptions(fd) == [INBOX, ("Work", "2026"), ("Entwürfe",)]
    subscriptions.subscribe(fd, [("Neu",)])
    assert subscriptions.subscriptions(fd)[-1] == ("Neu",)
    assert len(subscriptions.subscriptions(fd)) == 4
    (path / "subscriptions").unlink()  # from now on it is Courier's file
    assert len(subscriptions.subscriptions(fd)) == 4


def test_nothing_is_written_without_need(box: tuple[Path, int]) -> None:
    path, fd = box
    subscriptions.unsubscribe(fd, ("Work",))
    assert subscriptions.subscriptions(fd) == []
    assert not (path / "courierimapsubscribed").exists()


def test_a_failed_write_leaves_the_old_file(
    box: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, fd = box
    subscriptions.subscribe(fd, [("A",)])

    def full(*_: object) -> int:
        raise OSError(28, "ENOSPC")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="ENOSPC"):
            subscriptions.subscribe(fd, [("B",)])
    assert subscriptions.subscriptions(fd) == [("A",)]
    assert list((path / "tmp").iterdir()) == []


def test_special_uses(box: tuple[Path, int]) -> None:
    path, fd = box
    assert subscriptions.special_uses(fd) == {}
    subscriptions.change_special_uses(fd, lambda _: {("Raus",): "\\Sent", ("Sent",): ""})
    assert (path / "restante.special-use").read_text() == "\\Sent INBOX.Raus\n- INBOX.Sent\n"
    assert subscriptions.special_uses(fd) == {("Raus",): "\\Sent", ("Sent",): ""}
    (path / "restante.special-use").write_bytes(b"\xff\nnonsense\n\\Junk INBOX.J\n")
    assert subscriptions.special_uses(fd) == {("J",): "\\Junk"}

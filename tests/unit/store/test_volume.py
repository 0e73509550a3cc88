"""The sentinel of the mail volume."""

from pathlib import Path

import pytest

from restante.model import ErrorKind, MailError
from restante.store.volume import SENTINEL, check_volume, create_volume


def test_an_unmounted_mount_point_is_refused(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "missing"):
        with pytest.raises(MailError, match=r"\.restante-volume") as caught:
            check_volume(root)
        assert caught.value.kind is ErrorKind.TEMPORARY


def test_a_volume_is_created_once(tmp_path: Path) -> None:
    root = tmp_path / "srv" / "mail"
    create_volume(root)
    check_volume(root)
    (root / SENTINEL).write_text("kept")
    create_volume(root)
    assert (root / SENTINEL).read_text() == "kept"

"""The service secret: by setting, or a file that only we can read, made once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import ValidationError

from restante.model import ErrorKind, MailError
from services.auth.secret import derive, service_secret
from tests.services.auth.conftest import make_settings


def test_the_setting_wins_and_makes_no_file(data: Path) -> None:
    assert service_secret(make_settings(data, secret="0123456789abcdef")) == b"0123456789abcdef"
    assert not (data / "auth").exists()


def test_without_it_a_file_is_made_once(data: Path) -> None:
    settings = make_settings(data)
    first = service_secret(settings)
    path = data / "auth" / "secret"
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(first) >= 43
    assert service_secret(settings) == first
    assert [p.name for p in path.parent.iterdir()] == ["secret"]


def test_starting_at_once_gives_one_secret(data: Path) -> None:
    settings = make_settings(data)
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: service_secret(settings), range(8)))
    assert len(found) == 1


def test_a_cut_file_is_refused(data: Path) -> None:
    (data / "auth").mkdir()
    (data / "auth" / "secret").write_text("short\n")
    with pytest.raises(MailError) as refused:
        service_secret(make_settings(data))
    assert refused.value.kind is ErrorKind.CANNOT


def test_a_short_setting_is_refused(data: Path) -> None:
    with pytest.raises(ValidationError):
        make_settings(data, secret="short")


def test_each_purpose_has_its_own_key() -> None:
    assert derive(b"s", "totp") != derive(b"s", "scram")
    assert derive(b"s", "totp") == derive(b"s", "totp")
    assert len(derive(b"s", "totp")) == 32

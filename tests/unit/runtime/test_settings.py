"""Settings: which variable wins, *_FILE, lists, and one clear line when something is wrong."""

import ipaddress
import os
from pathlib import Path

import pytest
from pydantic import Field, SecretStr

from restante.runtime import environment
from restante.runtime.settings import (
    CommaList,
    CommonSettings,
    ListenAddress,
    ServiceSettings,
    load,
    variables,
)


class Example(ServiceSettings, env_prefix="RESTANTE_EXAMPLE_"):
    """Settings of a service that only tests know."""

    listen: ListenAddress = Field(default=ListenAddress("127.0.0.1", 1143))
    tls_listen: ListenAddress = Field(default=ListenAddress("127.0.0.1", 1993))
    names: CommaList = Field(default=("a",))
    secret: SecretStr | None = Field(default=None)
    size: int = Field(default=5, ge=1)


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.startswith("RESTANTE_")]:
        monkeypatch.delenv(name)


def fails(capsys: pytest.CaptureFixture[str]) -> str:
    """Load, and return the one line that says what is wrong."""
    with pytest.raises(SystemExit) as caught:
        load(Example)
    assert caught.value.code == 78
    out = capsys.readouterr()
    assert out.out == ""
    assert out.err.count("\n") == 1
    return out.err


def test_defaults_hang_on_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RESTANTE_DATA", str(tmp_path))
    settings = load(Example)
    assert settings.mail_root == tmp_path / "mail"
    assert settings.tls_certificate == tmp_path / "tls" / "cert.pem"
    assert settings.auth_target == f"unix:{tmp_path}/run/auth.sock"
    assert settings.listeners == {
        "listen": ListenAddress("127.0.0.1", 1143),
        "tls_listen": ListenAddress("127.0.0.1", 1993),
    }


def test_relative_data_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(Example).data == tmp_path / "var"
    monkeypatch.setenv("RESTANTE_DATA", "here")
    assert load(Example).data == tmp_path / "here"


def test_the_service_wins_over_the_common_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESTANTE_WORKERS", "3")
    assert load(Example).workers == 3
    monkeypatch.setenv("RESTANTE_EXAMPLE_WORKERS", "2")
    assert load(Example).workers == 2
    assert variables(Example, "workers") == ("RESTANTE_EXAMPLE_WORKERS", "RESTANTE_WORKERS")
    assert variables(Example, "size") == ("RESTANTE_EXAMPLE_SIZE",)


def test_own_fields_need_the_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESTANTE_SIZE", "9")
    assert load(Example).size == 5


def test_empty_means_unset_but_switches_an_address_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESTANTE_EXAMPLE_SIZE", "")
    monkeypatch.setenv("RESTANTE_EXAMPLE_LISTEN", "")
    monkeypatch.setenv("RESTANTE_EXAMPLE_NAMES", "")
    settings = load(Example)
    assert settings.size == 5
    assert settings.names == ()
    assert set(settings.listeners) == {"tls_listen"}


def test_lists_and_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESTANTE_EXAMPLE_NAMES", "x, y,,z")
    monkeypatch.setenv("RESTANTE_PROXY_PROTOCOL_FROM", "10.1.2.3/8,::1")
    settings = load(Example)
    assert settings.names == ("x", "y", "z")
    assert settings.proxy_protocol_from == (
        ipaddress.ip_network("10.0.0.0/8"),
        ipaddress.ip_network("::1/128"),
    )


def test_file_gives_a_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(" with space \n")
    monkeypatch.setenv("RESTANTE_EXAMPLE_SECRET_FILE", str(tmp_path / "secret"))
    secret = load(Example).secret
    assert secret is not None
    assert secret.get_secret_value() == " with space "


def test_unreadable_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("RESTANTE_EXAMPLE_SECRET_FILE", str(tmp_path / "none"))
    assert "RESTANTE_EXAMPLE_SECRET_FILE: cannot read" in fails(capsys)


def test_value_and_file_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("RESTANTE_EXAMPLE_SECRET", "x")
    monkeypatch.setenv("RESTANTE_EXAMPLE_SECRET_FILE", str(tmp_path))
    line = fails(capsys)
    assert "RESTANTE_EXAMPLE_SECRET and RESTANTE_EXAMPLE_SECRET_FILE are both set" in line


@pytest.mark.parametrize(
    ("variable", "value", "part"),
    [
        ("RESTANTE_EXAMPLE_LISTEN", "foo", "RESTANTE_EXAMPLE_LISTEN: 'foo': expected host:port"),
        ("RESTANTE_WORKERS", "0", "RESTANTE_WORKERS: '0': input should be greater than"),
        ("RESTANTE_EXAMPLE_WORKERS", "x", "RESTANTE_EXAMPLE_WORKERS: 'x': "),
        ("RESTANTE_LOG_LEVEL", "loud", "RESTANTE_LOG_LEVEL: 'loud': "),
        ("RESTANTE_PROXY_PROTOCOL_FROM", "10.0.0.0/99", "RESTANTE_PROXY_PROTOCOL_FROM: "),
        ("RESTANTE_HOSTNAME", "a b\r\nc", "RESTANTE_HOSTNAME: 'a b\\r\\nc'"),
        ("RESTANTE_DRAIN_SECONDS", "-1", "RESTANTE_DRAIN_SECONDS: '-1'"),
    ],
)
def test_wrong_value_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
    part: str,
) -> None:
    monkeypatch.setenv(variable, value)
    line = fails(capsys)
    assert part in line
    assert line.startswith("restante: wrong settings: ")


def test_several_faults_are_named_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RESTANTE_WORKERS", "x")
    monkeypatch.setenv("RESTANTE_EXAMPLE_SIZE", "0")
    line = fails(capsys)
    assert "RESTANTE_WORKERS" in line
    assert "RESTANTE_EXAMPLE_SIZE" in line


def test_a_wrong_secret_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Short(Example, env_prefix="RESTANTE_SHORT_"):
        token: SecretStr = Field(default=SecretStr(""), min_length=16)

    monkeypatch.setenv("RESTANTE_SHORT_TOKEN", "hunter2")
    with pytest.raises(SystemExit):
        load(Short)
    line = capsys.readouterr().err
    assert "RESTANTE_SHORT_TOKEN" in line
    assert "hunter2" not in line


def test_kubernetes_variables_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESTANTE_EXAMPLE_PORT", "tcp://10.0.0.1:143")
    monkeypatch.setenv("RESTANTE_EXAMPLE_SERVICE_HOST", "10.0.0.1")
    assert load(Example).size == 5


def test_one_process_where_one_must_do_all(monkeypatch: pytest.MonkeyPatch) -> None:
    class Single(Example, env_prefix="RESTANTE_SINGLE_"):
        max_workers = 1

    monkeypatch.setenv("RESTANTE_WORKERS", "8")
    assert load(Single).worker_count == 1
    assert load(Example).worker_count == 8


def test_the_light_reader_agrees(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for extra in (
        {},
        {"RESTANTE_DATA": "d", "RESTANTE_TLS_KEY": "k"},
        {"RESTANTE_DATA": "~/d", "RESTANTE_MAIL_ROOT": "/m", "RESTANTE_TLS_CERTIFICATE": ""},
    ):
        for name, value in extra.items():
            monkeypatch.setenv(name, value)
        full = load(CommonSettings)
        assert environment.data_dir() == full.data
        assert environment.run_dir() == full.run_dir
        assert environment.mail_root() == full.mail_root
        assert environment.mail_volumes() == full.mail_volumes
        assert environment.hostname() == full.hostname
        assert environment.certificate_files() == (full.tls_certificate, full.tls_key)

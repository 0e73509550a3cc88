"""docs/settings.md says exactly what the code reads."""

import re
from pathlib import Path

import pytest

from restante.runtime.settings import CommonSettings
from tests.arch.settings_doc import DOCUMENT, render, settings_classes

ROOT = Path(__file__).resolve().parents[2]

# Names that other programs and scripts rely on.
FIXED = {
    "RESTANTE_DATA",
    "RESTANTE_DEMO_PASSWORD",
    "RESTANTE_POP3_LISTEN",
    "RESTANTE_POP3_TLS_LISTEN",
    "RESTANTE_IMAP_LISTEN",
    "RESTANTE_IMAP_TLS_LISTEN",
    "RESTANTE_DELIVERY_LMTP_LISTEN",
    "RESTANTE_DELIVERY_HTTP_LISTEN",
    "RESTANTE_WEBMAIL_LISTEN",
    "RESTANTE_AUTH_MODULES",
    "RESTANTE_AUTH_USERDB",
    "RESTANTE_AUTH_AUTHDAEMON_LISTEN",
    "RESTANTE_WORKERS",
}


def test_tables_are_those_of_the_code() -> None:
    text = DOCUMENT.read_text()
    assert render(text) == text, "run: python -m tests.arch.settings_doc"


def test_fixed_names_are_there() -> None:
    assert set(re.findall(r"`(RESTANTE_[A-Z0-9_]+)`", DOCUMENT.read_text())) >= FIXED


def test_every_variable_named_in_the_code_is_documented() -> None:
    documented = set(re.findall(r"RESTANTE_[A-Z0-9_]+", DOCUMENT.read_text()))
    for folder in ("libs", "services"):
        for path in (ROOT / folder).rglob("*.py"):
            named = set(re.findall(r"\bRESTANTE_[A-Z0-9_]*[A-Z0-9]\b", path.read_text()))
            prefixes = {name for name in named if f"{name}_" in path.read_text()}
            named = {name.removesuffix("_FILE") for name in named}
            unknown = named - documented - prefixes
            assert not unknown, f"{path.relative_to(ROOT)} reads {unknown}"


@pytest.mark.parametrize("name", settings_classes())
def test_every_service_has_health_on_a_port_of_its_own(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in re.findall(r"RESTANTE_[A-Z0-9_]+", DOCUMENT.read_text()):
        monkeypatch.delenv(variable, raising=False)
    ports = {other: cls().health_listen.port for other, cls in settings_classes().items()}
    assert ports[name]
    assert list(ports.values()).count(ports[name]) == 1


def test_no_service_redefines_a_common_setting_as_something_else() -> None:
    for name, cls in settings_classes().items():
        for field, info in CommonSettings.model_fields.items():
            assert cls.model_fields[field].annotation == info.annotation, f"{name}: {field}"

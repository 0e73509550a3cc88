"""Writes the tables of docs/settings.md from the settings classes.

Run `python -m tests.arch.settings_doc` after a change of settings. The text around the tables is
written by hand; each table stands between two marks.
"""

import importlib
import os
import typing
from pathlib import Path

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from restante.runtime.settings import CommonSettings, ServiceSettings, variables
from services.__main__ import SERVICES

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "settings.md"

_DATA = "/DATA-OF-THE-DOCUMENT"

# What a default that depends on the machine is called.
_WORDS = {
    "data": "`./var`",
    "workers": "one per CPU",
    "hostname": "the machine's name",
    "mail_uid": "the user that runs auth",
    "mail_gid": "its group",
    "factor_name": "`$RESTANTE_HOSTNAME`",
    "passkey_domain": "`$RESTANTE_HOSTNAME`",
    "passkey_origins": "`https://$RESTANTE_HOSTNAME`",
}


def settings_classes() -> dict[str, type[ServiceSettings]]:
    """Return the settings class of every service, by the service's name."""
    found = {}
    for name in SERVICES:
        module = importlib.import_module(f"services.{name}.settings")
        (found[name],) = [
            value
            for value in vars(module).values()
            if isinstance(value, type)
            and issubclass(value, ServiceSettings)
            and value.__module__ == module.__name__
        ]
    return found


def tables() -> dict[str, str]:
    """Return the table of each section, by its mark."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("RESTANTE_")}
    os.environ["RESTANTE_DATA"] = _DATA
    try:
        common = _table(CommonSettings, list(CommonSettings.model_fields))
        result = {"common": common}
        for name, cls in settings_classes().items():
            own = [field for field in cls.model_fields if field not in CommonSettings.model_fields]
            result[name] = _table(cls, own)
        return result
    finally:
        del os.environ["RESTANTE_DATA"]
        os.environ.update(kept)


def render(text: str) -> str:
    """Return the document with its tables replaced by what the code says."""
    for mark, table in tables().items():
        head, start, rest = text.partition(f"<!-- settings: {mark} -->\n")
        _, end, tail = rest.partition("<!-- end -->")
        assert start, f"docs/settings.md has no place for {mark}"
        assert end, f"docs/settings.md: the table {mark} has no end"
        text = f"{head}{start}\n{table}\n{end}{tail}"
    return text


def _table(cls: type[CommonSettings], fields: list[str]) -> str:
    defaults = cls()
    rows = ["| Variable | Default | Meaning |", "|---|---|---|"]
    for name in fields:
        info = cls.model_fields[name]
        assert info.description, f"{cls.__name__}.{name} has no description"
        default = _WORDS.get(name) or _shown(getattr(defaults, name))
        secret = " May be given as *_FILE." if _is_secret(info) else ""
        meaning = f"{info.description}{_bounds(info)}{secret}".replace("|", "\\|")
        rows.append(f"| `{variables(cls, name)[-1]}` | {default} | {meaning} |")
    return "\n".join(rows) + "\n"


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        value = ",".join(map(str, value))
    if value is None or str(value) == "":
        return "none"
    if isinstance(value, bool):
        value = "true" if value else "false"
    if isinstance(value, float):
        value = f"{value:g}"
    return f"`{str(value).replace(_DATA, '$RESTANTE_DATA')}`"


def _is_secret(info: FieldInfo) -> bool:
    return info.annotation is SecretStr or SecretStr in typing.get_args(info.annotation)


def _bounds(info: FieldInfo) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    found = [
        f"{sign} {getattr(item, key)}"
        for item in info.metadata
        for key, sign in signs.items()
        if hasattr(item, key)
    ]
    return f" ({', '.join(found)})" if found else ""


if __name__ == "__main__":
    DOCUMENT.write_text(render(DOCUMENT.read_text()))

"""docs/options.md: every option that the code asks for is there, with the file that asks."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs/options.md"
NAMES = (
    "disableimap",
    "disablepop3",
    "disableinsecureimap",
    "disableinsecurepop3",
    "disablewebmail",
    "disableshared",
    "wbnochangingfrom",
    "wbnochangepass",
    "wbusexsender",
    "wbnoimages",
    "wbnodsn",
    "group",
    "sharedgroup",
    "mailhost",
)
_ASKED = re.compile(r'options\.(?:enabled|get|all)\(\s*"(\w+)"')


def rows() -> dict[str, str]:
    found = re.findall(r"^\| `(\w+)` \| [^|]+ \| (.+) \|$", DOCUMENT.read_text(), re.MULTILINE)
    return dict(found)


def asked() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for folder in ("libs", "services"):
        for path in (ROOT / folder).rglob("*.py"):
            for name in _ASKED.findall(path.read_text()):
                found.setdefault(name, set()).add(str(path.relative_to(ROOT)))
    return found


def test_all_of_couriers_options_are_there() -> None:
    assert sorted(rows()) == sorted(NAMES)


def test_who_obeys_is_who_asks() -> None:
    told = {
        name: set(re.findall(r"`((?:services|libs)/[\w/]+\.py)`", text))
        for name, text in rows().items()
    }
    assert {name: files for name, files in told.items() if files} == asked()


def test_the_others_say_so() -> None:
    for name, text in rows().items():
        assert ("nobody yet" in text) == (name not in asked())

"""Which log lines the code writes: event, level, fields, read off its syntax trees."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
DOCUMENT: Final = ROOT / "docs" / "logs.md"

# Those that tell of sessions, messages, logins, certificates and traces.
WHERE: Final = (
    "services/imap",
    "services/pop3",
    "services/delivery",
    "services/auth/audit.py",
    "services/auth/authdaemon.py",
    "services/auth/grpc_tls.py",
    "services/auth/login_debug.py",
    "libs/restante/runtime/connection.py",
    "libs/restante/runtime/proxy.py",
    "libs/restante/runtime/upstream.py",
    "libs/restante/runtime/tls.py",
    "libs/restante/runtime/tls_names.py",
    "libs/restante/runtime/tracing.py",
)
_METHODS: Final = {
    "debug": "debug",
    "info": "info",
    "warning": "warning",
    "error": "error",
    "exception": "error",
}
_FUNCTIONS: Final = {"routine": "info", "always": "always"}


@dataclass
class Event:
    """All places that write one event."""

    levels: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)


def written() -> dict[str, Event]:
    """Return the events of the code in WHERE."""
    found: dict[str, Event] = {}
    for path in _files():
        tree = ast.parse(path.read_text())
        constants = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant)
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        }
        for call, level in _calls(tree):
            first = call.args[0] if call.args else None
            text = first.value if isinstance(first, ast.Constant) else None
            if isinstance(first, ast.Name):
                text = constants.get(first.id)
            assert isinstance(text, str), f"{path}:{call.lineno}: which event?"
            event = found.setdefault(text, Event())
            event.levels.add(level)
            event.fields |= {word.arg for word in call.keywords if word.arg}
    return found


def documented() -> dict[str, Event]:
    """Return the events of the tables in docs/logs.md: | `event` | level | `field` ... | what |."""
    found = {}
    for line in DOCUMENT.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 4 and "`" not in cells[1]:
            words = {word.strip("`,;") for word in cells[2].split() if word.startswith("`")}
            levels = set(cells[1].replace(",", " ").split())
            found[cells[0].strip("`")] = Event(levels, words)
    return found


def _files() -> Iterator[Path]:
    for where in WHERE:
        path = ROOT / where
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


def _calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        to = node.func
        if isinstance(to, ast.Name) and to.id in _FUNCTIONS:
            yield node, _FUNCTIONS[to.id]
        elif (
            isinstance(to, ast.Attribute)
            and isinstance(to.value, ast.Name)
            and to.value.id in ("log", "_log")
            and to.attr in _METHODS
        ):
            yield node, _METHODS[to.attr]

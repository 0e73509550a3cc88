"""The file of `restante account apply` and `export`: YAML, or JSON, which is YAML too.

    domains:
      example.org:
        quota: 100000000S            # of accounts without their own
        options: wbnodsn=1
    accounts:
      fred@example.org:
        name: Fred
        quota: 500000000S,10000C
        options: disablepop3=1
        disabled: false
        uid: 1000
        gid: 1000
        home: /srv/mail/fred         # only said where an account is made
        maildir: /srv/mail/fred/Maildir
        password_hash: $6$...        # or one of password_hash_file, password_hash_env,
                                     # password_file, password_env

Paths are relative to the file. What an entry does not say stays as it is. Unknown keys, a name
twice and values of the wrong kind are refused with their line.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

import yaml

from restante.model import ErrorKind, MailError, Options, Quota

MAX_FILE: Final = 256 * 1024 * 1024  # bytes
MAX_SECRET: Final = 64 * 1024

# The C loader where there is one: ten times faster, the same nodes.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Secret:
    """A password or its hash. Never shown."""

    password: str = field(default="", repr=False)
    stored: str = field(default="", repr=False)  # a hash; with password "": "" is no password


@dataclass(frozen=True, slots=True)
class Entry:
    """A domain or an account. `fields` has only what the file says."""

    name: str
    line: int
    fields: Mapping[str, Any]
    secret: Secret | None = None  # None: the file does not say


@dataclass(frozen=True, slots=True)
class AccountsFile:
    """What a file wants."""

    path: str
    domains: list[Entry]
    accounts: list[Entry]


def read(path: Path, environ: Mapping[str, str] = os.environ) -> AccountsFile:
    """Read a file. Raises MailError(BAD_REQUEST) with path and line."""
    return _Reader(path, environ).read()


class _Reader:
    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        self._path, self._environ = path, environ

    def read(self) -> AccountsFile:
        try:
            with self._path.open("rb") as file:
                data = file.read(MAX_FILE + 1)
        except OSError as error:
            raise MailError(ErrorKind.BAD_REQUEST, f"{self._path}: {error.strerror}") from None
        if len(data) > MAX_FILE:
            raise MailError(ErrorKind.BAD_REQUEST, f"{self._path}: over {MAX_FILE} bytes")
        try:
            # JSON may have tabs between its tokens, never inside them.
            text = data.decode("utf-8-sig").replace("\t", " ")
            top = yaml.compose(text, _LOADER)
        except UnicodeDecodeError:
            raise MailError(ErrorKind.BAD_REQUEST, f"{self._path}: is not UTF-8") from None
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", None) or "is not YAML"
            where = f":{mark.line + 1}" if mark else ""
            raise MailError(ErrorKind.BAD_REQUEST, f"{self._path}{where}: {problem}") from None
        empty = top is None or _is_null(top)
        sections = {} if empty else self._mapping(top, "the file")
        for name, (key, _) in sections.items():
            if name not in ("domains", "accounts"):
                self._unknown(key, name, ("domains", "accounts"))
        return AccountsFile(
            str(self._path),
            self._entries(sections, "domains", _DOMAIN),
            self._entries(sections, "accounts", _ACCOUNT),
        )

    def _entries(
        self, sections: Mapping[str, tuple[Any, Any]], section: str, known: Mapping[str, "_Kind"]
    ) -> list[Entry]:
        if section not in sections or _is_null(sections[section][1]):
            return []
        found = []
        for name, (key, node) in self._mapping(sections[section][1], section).items():
            fields = {} if _is_null(node) else self._mapping(node, name)
            secret = self._secret(name, fields) if section == "accounts" else None
            values = {}
            for word, (at, value) in fields.items():
                if word in known:
                    values[word] = known[word](self, word, value)
                elif not (section == "accounts" and word in _SECRETS):
                    self._unknown(at, word, (*known, *(_SECRETS if section == "accounts" else ())))
            found.append(Entry(name, key.start_mark.line + 1, values, secret))
        return found

    def _mapping(self, node: Any, what: str) -> dict[str, tuple[Any, Any]]:
        """Return {key: (its node, the value's node)}."""
        if not isinstance(node, yaml.MappingNode):
            self._fail(node, f"{what}: expected names with a colon each")
        found: dict[str, tuple[Any, Any]] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._fail(key, f"{what}: expected a name")
            if key.value in found:
                self._fail(key, f"{key.value} is there twice")
            found[key.value] = (key, value)
        return found

    def _secret(self, name: str, fields: Mapping[str, tuple[Any, Any]]) -> Secret | None:
        given = [word for word in _SECRETS if word in fields]
        if "password" in fields:
            text = "no password stands in this file: use password_file, password_env or a hash"
            self._fail(fields["password"][0], f"{name}: {text}")
        if not given:
            return None
        node = fields[given[0]][1]
        if len(given) > 1:
            self._fail(fields[given[1]][0], f"{name}: give only one of {', '.join(given)}")
        word, value = given[0], self.text(given[0], node)
        if word == "password_hash":
            return Secret(stored=value)
        found = self._from_file(node, value) if word.endswith("_file") else self._env(node, value)
        if not found:
            self._fail(node, f"{name}: {word} gives nothing")
        return Secret(stored=found) if "hash" in word else Secret(password=found)

    def _from_file(self, node: Any, value: str) -> str:
        try:
            with (self._path.parent / value).open("rb") as file:
                data = file.read(MAX_SECRET)
        except OSError as error:
            self._fail(node, f"{value}: {error.strerror}")
        text = data.decode("utf-8", "surrogateescape")
        return text.removesuffix("\n").removesuffix("\r")

    def _env(self, node: Any, value: str) -> str:
        if value not in self._environ:
            self._fail(node, f"there is no environment variable {value}")
        return self._environ[value]

    # --- kinds of values ------------------------------------------------------------------------

    def text(self, word: str, node: Any) -> str:
        """A text or number as it stands, "" for nothing."""
        if not isinstance(node, yaml.ScalarNode) or node.tag.endswith(":bool"):
            self._fail(node, f"{word}: expected a text")
        return "" if _is_null(node) else str(node.value)

    def quota(self, word: str, node: Any) -> str:
        """A Maildir++ quota."""
        text = self.text(word, node)
        try:
            Quota.parse(text)
        except MailError as error:
            self._fail(node, error.text)
        return text

    def options(self, word: str, node: Any) -> str:
        """Courier's account options."""
        return str(Options.parse(self.text(word, node)))

    def number(self, word: str, node: Any) -> int:
        """A uid or gid, not root's."""
        text = self.text(word, node)
        if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) > 0):
            self._fail(node, f"{word}: expected a number above 0")
        return int(text)

    def switch(self, word: str, node: Any) -> bool:
        """True or false."""
        if not (isinstance(node, yaml.ScalarNode) and node.tag.endswith(":bool")):
            self._fail(node, f"{word}: expected true or false")
        return node.value.lower() in ("true", "yes", "on")

    def path(self, word: str, node: Any) -> str:
        """An absolute path."""
        text = self.text(word, node)
        if not text.startswith("/"):
            self._fail(node, f"{word}: expected an absolute path")
        return text

    def _unknown(self, node: Any, word: str, known: tuple[str, ...]) -> NoReturn:
        self._fail(node, f"unknown key {word!r}; known are {', '.join(known)}")

    def _fail(self, node: Any, text: str) -> NoReturn:
        line = node.start_mark.line + 1 if node is not None else 1
        raise MailError(ErrorKind.BAD_REQUEST, f"{self._path}:{line}: {text}")


_Kind = Callable[[_Reader, str, Any], Any]

_DOMAIN: Final[dict[str, _Kind]] = {"quota": _Reader.quota, "options": _Reader.options}
_ACCOUNT: Final[dict[str, _Kind]] = {
    "name": _Reader.text,
    "quota": _Reader.quota,
    "options": _Reader.options,
    "disabled": _Reader.switch,
    "uid": _Reader.number,
    "gid": _Reader.number,
    "home": _Reader.path,
    "maildir": _Reader.path,
}
_SECRETS: Final = (
    "password_hash",
    "password_hash_file",
    "password_hash_env",
    "password_file",
    "password_env",
)


def _is_null(node: Any) -> bool:
    return isinstance(node, yaml.ScalarNode) and bool(node.tag.endswith(":null"))

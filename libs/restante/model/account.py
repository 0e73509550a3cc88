"""An account as the auth service describes it: who, where, how much, what is allowed.

Sources: courier-authlib's field set (USERNAME UID GID HOME ADDRESS NAME MAILDIR QUOTA
OPTIONS) and Maildir++ quota strings ("10000000S,1000C").
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from restante.model.error import ErrorKind, MailError


@dataclass(frozen=True, slots=True)
class Quota:
    """A Maildir++ quota; 0 means unlimited."""

    bytes: int = 0
    messages: int = 0

    @classmethod
    def parse(cls, text: str) -> "Quota":
        """Parse "10000000S,1000C" in any order, "" as unlimited. Raises MailError(BAD_REQUEST)."""
        size = count = 0
        for item in filter(None, (piece.strip() for piece in text.split(","))):
            number, unit = item[:-1], item[-1:]
            if not (number.isascii() and number.isdigit() and len(number) <= 18):
                raise MailError(ErrorKind.BAD_REQUEST, f"bad quota {text!r}")
            if unit == "S":
                size = int(number)
            elif unit == "C":
                count = int(number)
            else:
                raise MailError(ErrorKind.BAD_REQUEST, f"bad quota {text!r}")
        return cls(size, count)

    def __str__(self) -> str:
        parts = ([f"{self.bytes}S"] if self.bytes else []) + (
            [f"{self.messages}C"] if self.messages else []
        )
        return ",".join(parts)

    def __bool__(self) -> bool:
        return bool(self.bytes or self.messages)


@dataclass(frozen=True, slots=True)
class Options(Mapping[str, str]):
    """Account options in courier-authlib's syntax: "disableimap=1,group=a,group=b".

    `items_` keeps order and repeats. A bare name has the value "".
    """

    items_: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Options":
        """Parse "name=value,name,..."; empty pieces are dropped."""
        pairs = []
        for piece in text.split(","):
            name, _, value = piece.strip().partition("=")
            if name:
                pairs.append((name, value))
        return cls(tuple(pairs))

    def merged(self, defaults: "Options") -> "Options":
        """Return these options followed by each default whose name is absent here."""
        own = {name for name, _ in self.items_}
        return Options(self.items_ + tuple(p for p in defaults.items_ if p[0] not in own))

    def enabled(self, name: str) -> bool:
        """Read a switch as Courier does: a number other than 0, or a value starting t/T/y/Y.

        A bare name, or one with an empty value, is on, too: so Courier's servers read it.
        """
        value = self.get(name)
        if value is None:
            return False
        if value[:1] in ("", "t", "T", "y", "Y"):
            return True
        digits = value.lstrip("+-")
        end = 0
        while end < len(digits) and digits[end] in "0123456789":
            end += 1
        return bool(digits[:end].strip("0"))

    def all(self, name: str) -> tuple[str, ...]:
        """Return every value of a repeatable option such as group."""
        return tuple(v for n, v in self.items_ if n == name)

    def __getitem__(self, name: str) -> str:
        for key, value in self.items_:
            if key == name:
                return value
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self.items_))

    def __len__(self) -> int:
        return len(dict(self.items_))

    def __str__(self) -> str:
        return ",".join(f"{n}={v}" if v else n for n, v in self.items_)


@dataclass(frozen=True, slots=True)
class Account:
    """One mail account. `address` is the canonical login and the key of everything per user."""

    address: str
    uid: int
    gid: int
    home: Path
    maildir: Path  # absolute
    name: str = ""
    quota: Quota = field(default_factory=Quota)
    options: Options = field(default_factory=Options)
    disabled: bool = False
    read_only: bool = False  # this login may read, and change nothing

"""From the text of userdb to the records of its two indexed files.

userdb.dat has everything but passwords, userdbshadow.dat the fields that match `^[^=]*pw=`. Each
record of userdb.dat ends with the field "_", the file that it came from below the userdb
directory, as "dir/file/" ("" where userdb is one file): with the name behind it that is what the
command `userdb` takes. A line without a tab is a name with the value "1" in both files.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from restante.userdb import source

_SHADOW: Final = re.compile(r"[^=]*pw=")


@dataclass(frozen=True, slots=True)
class Line:
    """A record: `name` is its key; None where a file does not have it."""

    name: str
    public: str | None
    shadow: str | None


def index_paths(index: Path) -> tuple[Path, Path]:
    """Return the two files of an index from the path of the first: X.dat, Xshadow.dat."""
    return index, index.with_name(f"{index.stem}shadow{index.suffix}")


def lines_of(top: Path) -> Iterator[Line]:
    """Yield the records of a userdb. Raises OSError, also for wrong permissions of `top`."""
    for path in source.files(top):
        location = "" if path == top else f"{path.relative_to(top)}/"
        for text in path.read_bytes().decode("utf-8", "surrogateescape").split("\n"):
            if text and not text.startswith(("#", "\t")):
                yield split(text, location)


def split(text: str, location: str) -> Line:
    """Return the record of one line."""
    name, tab, rest = text.partition("\t")
    if not tab:
        return Line(name, "1", "1")
    public: list[str] = []
    shadow: list[str] = []
    rest = rest.rstrip("|")
    for piece in rest.split("|") if rest else ():
        (shadow if _SHADOW.match(piece) else public).append(piece)
    public.append(f"_={location}")
    return Line(name, "|".join(public), "|".join(shadow) or None)

"""pw2userdb: accounts of passwd(5) and shadow(5) files as lines of userdb."""

from collections.abc import Iterable, Iterator
from pathlib import Path


def convert(
    passwd: Path, shadow: Path | None, *, domain: str = "", reverse: bool = True
) -> Iterator[str]:
    """Yield a line for each account, and with `reverse` one that finds it by its uid.

    `shadow` has the passwords that passwd does not have; `domain` is put behind each name. Of
    accounts with one uid, the first is found by it. Raises OSError.
    """
    passwords = dict(_passwords(shadow)) if shadow is not None else {}
    seen: set[str] = set()
    for name, password, uid, gid, gecos, home, shell in _entries(passwd):
        stored = passwords.get(name, "" if password == "x" else password)  # noqa: S105 - passwd(5)
        fields = {
            "uid": uid,
            "gid": gid,
            "home": home,
            "shell": shell,
            "systempw": stored,
            "gecos": gecos.replace("|", "."),
        }
        full = f"{name}@{domain}" if domain else name
        text = "|".join(f"{key}={value}" for key, value in fields.items() if value)
        yield f"{full}\t{text}"
        if reverse and uid not in seen:
            seen.add(uid)
            yield f"{uid}=\t{full}"


def _entries(path: Path) -> Iterator[list[str]]:
    """Yield the seven fields of each account; what is none (comments, NIS) is left out."""
    for line in _lines(path):
        fields = line.split(":")
        if len(fields) == 7 and fields[0] and fields[2].isdigit() and fields[3].isdigit():
            if any("|" in field for field in fields[:4] + fields[5:]):
                continue  # this cannot stand in userdb
            yield fields


def _passwords(path: Path) -> Iterable[tuple[str, str]]:
    for line in _lines(path):
        name, colon, rest = line.partition(":")
        if colon:
            yield name, rest.partition(":")[0]


def _lines(path: Path) -> list[str]:
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    return [line for line in text.split("\n") if line and not line.startswith("#")]

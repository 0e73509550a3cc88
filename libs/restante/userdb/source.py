"""The text of userdb: which files it is, that nobody else may touch them, and their lines.

The path is a file, or a directory that is read recursively without dotfiles. Courier's rule: it
holds passwords, so no permission for group or others, and no symlink. A line is
`name<TAB>field=value|field=value`; lines that start with "#" and blank lines are comments.
"""

import os
import stat
from pathlib import Path


def files(top: Path) -> list[Path]:
    """Return the files of a userdb in their order: itself, or those below it. Raises OSError."""
    if not top.is_dir():
        return [top]
    found = []
    for folder, folders, names in os.walk(top, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(folder, name) for name in sorted(names) if not name.startswith(".")]
    return found


def check_private(path: Path, info: os.stat_result) -> None:
    """Raise PermissionError for a symlink, a device, or what others may access.

    `info` is of lstat, or of fstat.
    """
    check_kind(path, info)
    if info.st_mode & 0o077:
        raise PermissionError(1, "group or others may access it", str(path))


def check_kind(path: Path, info: os.stat_result) -> None:
    """Raise PermissionError for what is neither a file nor a directory."""
    if stat.S_ISLNK(info.st_mode):
        raise PermissionError(1, "is a symlink", str(path))
    if not (stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode)):
        raise PermissionError(1, "is not a file", str(path))


def contents(path: Path) -> str:
    """Read a file that did not become a symlink or public meanwhile. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        check_private(path, os.fstat(handle))
        return file.read().decode("utf-8", "surrogateescape")


def fields_of(text: str) -> dict[str, str]:
    """Return the fields of a line's part behind the tab; of a name twice, the first."""
    fields: dict[str, str] = {}
    for piece in text.strip("\r").split("|"):
        key, _, value = piece.partition("=")
        if key.strip():
            fields.setdefault(key.strip(), value)
    return fields


def is_reverse(name: str) -> bool:
    """True for the key of a record `<uid>=<TAB>name`, which finds a name by its uid."""
    return name.endswith("=") and name[:-1].isdigit()


def _raise(error: OSError) -> None:
    raise error

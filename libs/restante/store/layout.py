"""Maildir++ directories: which folder is where, and how to get there without leaving the root.

A folder ("Work", "2026") is the directory `.Work.2026` in the account's Maildir, INBOX is the
Maildir itself; each holds tmp, new and cur. Names on disk are UTF-8 (NFC), as Courier writes them
since its version 5. Directories that exist in modified UTF-7 (older servers, Dovecot) or in NFD
(other file systems) stay where they are and keep working: a name is looked up by listing, and
never composed and tried, so that any spelling is found.

One name has one directory: where two spellings mean the same name, the exact UTF-8 one has it,
else the first by bytes, and the others appear as "Name (2)", "Name (3)". A new folder whose UTF-8
form would read as modified UTF-7 ("R&-D") is written in modified UTF-7, so that it reads back as
what it was.

No path below the Maildir is followed through a symbolic link: every directory is opened by one
name relative to its parent's descriptor with O_NOFOLLOW. The Maildir's own path comes from the
auth service and is trusted.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from restante.model import INBOX, ErrorKind, FolderName, MailError, mutf7
from restante.model.folder_name import folder_name
from restante.store.identity import Identity, acting

DIRECTORY_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
SUBDIRECTORIES: Final = ("tmp", "new", "cur")
_PIECE: Final = 1 << 20
MAX_NAME: Final = 255  # bytes of a directory's name
MARK: Final = "maildirfolder"  # an empty file: "my quota is counted one level up"


def disk_name(name: FolderName) -> str:
    """Return the directory of a new folder relative to the Maildir; "." for INBOX."""
    if name == INBOX:
        return "."
    plain = ".".join(name)
    if mutf7.decode(plain) not in (plain, None):
        plain = mutf7.encode(plain)
    return "." + plain


def folder_of(directory: str) -> FolderName | None:
    """Return the folder that a directory's name (as os.listdir gives it) means, None for none."""
    if not directory.startswith(".") or directory in (".", ".."):
        return None
    text = directory[1:]
    try:
        text.encode()
    except UnicodeEncodeError:  # not UTF-8: shown somehow rather than hidden
        text = os.fsencode(text).decode("latin-1")
    decoded = mutf7.decode(text) if text.isascii() else None
    for candidate in (decoded, text):
        if candidate is None:
            continue
        try:
            return folder_name(tuple(candidate.split(".")))
        except MailError:
            continue
    return None


def list_folders(maildir: int) -> dict[FolderName, str]:
    """List the folders of the Maildir open as `maildir`: {name: directory}, INBOX first, sorted.

    A directory counts when it holds `cur`; symbolic links do not count. Raises OSError.
    """
    directories = []
    with os.scandir(maildir) as entries:
        for entry in entries:
            if entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                directories.append(entry.name)
    found: dict[FolderName, str] = {}
    rest: list[tuple[FolderName, str]] = []
    for directory in sorted(directories, key=os.fsencode):
        name = folder_of(directory) or _inbox_child(directory)
        if name is None or not _is_folder(maildir, directory):
            continue
        if directory == disk_name(name):
            if name in found:
                rest.append((name, found[name]))
            found[name] = directory
        elif name in found:
            rest.append((name, directory))
        else:
            found[name] = directory
    for name, directory in sorted(rest, key=lambda item: os.fsencode(item[1])):
        number = 2
        while (other := (*name[:-1], f"{name[-1]} ({number})")) in found:
            number += 1
        found[other] = directory
    return {INBOX: ".", **dict(sorted(found.items()))}


def _inbox_child(directory: str) -> FolderName | None:
    """A directory `.INBOX` cannot be called INBOX, which is the Maildir itself."""
    return ("INBOX (2)",) if directory.upper() == ".INBOX" else None


def _is_folder(maildir: int, directory: str) -> bool:
    try:
        mode = os.stat(f"{directory}/cur", dir_fd=maildir, follow_symlinks=False).st_mode
    except OSError:
        return False
    return stat.S_ISDIR(mode)


def find_folder(maildir: int, name: FolderName) -> str:
    """Return the directory of a folder, in whatever spelling it exists.

    MailError(NO_SUCH_FOLDER) where there is none; OSError where the Maildir cannot be listed.
    """
    if name == INBOX:
        return "."
    try:
        return list_folders(maildir)[name]
    except KeyError:
        raise MailError(ErrorKind.NO_SUCH_FOLDER, "no such folder") from None


def open_directory(name: str | os.PathLike[str], parent: int | None = None) -> int:
    """Open a directory for use as dir_fd and for fsync; the caller closes it.

    With `parent`, `name` must be one component ("." included) and no symbolic link. Raises OSError.
    """
    if parent is None:
        return os.open(name, DIRECTORY_FLAGS & ~os.O_NOFOLLOW)
    if "/" in str(name) or name == "..":
        raise ValueError(f"not a single component: {name!r}")
    return os.open(name, DIRECTORY_FLAGS, dir_fd=parent)


@contextmanager
def opened(name: str | os.PathLike[str], parent: int | None = None) -> Iterator[int]:
    """`open_directory` for a with statement."""
    fd = open_directory(name, parent)
    try:
        yield fd
    finally:
        os.close(fd)


def open_folder(maildir: Path, name: FolderName) -> int:
    """Open a folder's directory; the caller closes it.

    MailError(NO_SUCH_FOLDER): no such folder or no Maildir. MailError(TEMPORARY): anything else.
    """
    try:
        if name == INBOX:
            return open_directory(maildir)
        with opened(maildir) as root:
            # The usual spelling first: a directory that opens is there. ENOENT proves nothing
            # (a missed name may be cached by a network client), so then the listing decides.
            try:
                return _open_exact(root, name)
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                    raise
            return open_directory(find_folder(root, name), root)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise MailError(ErrorKind.NO_SUCH_FOLDER, "no such folder") from error
        raise MailError(
            ErrorKind.TEMPORARY, f"mailbox is not available ({_reason(error)})"
        ) from error


def _open_exact(root: int, name: FolderName) -> int:
    fd = open_directory(disk_name(name), root)
    try:
        os.close(open_directory("cur", fd))
    except BaseException:
        os.close(fd)
        raise
    return fd


def read_plain(directory: int, name: str, limit: int) -> bytes | None:
    """Return up to `limit` bytes of a plain file; None where there is none of that name.

    Links, pipes, devices and directories are no plain files and are not waited for. OSError.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        fd = os.open(name, flags, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
            return None
        raise
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        pieces = []
        while limit > 0 and (piece := os.read(fd, min(limit, _PIECE))):
            pieces.append(piece)
            limit -= len(piece)
        return b"".join(pieces)
    finally:
        os.close(fd)


def make_maildir(parent: int, directory: str) -> bool:
    """Make a Maildir (tmp, new, cur; mode 0700; durable) or complete a half-made one.

    Returns False where all of it was there. `cur` comes last: without it nothing counts as a
    folder, so no reader meets a half-made one. Raises OSError.
    """
    made = make_directory(parent, directory)
    with opened(directory, parent) as folder:
        for name in SUBDIRECTORIES:
            made = make_directory(folder, name) or made
        if directory.startswith(".") and directory != ".":
            flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(MARK, flags, 0o600, dir_fd=folder))
        if made:
            os.fsync(folder)
    if made:
        os.fsync(parent)
    return made


def make_directory(parent: int, name: str) -> bool:
    """Make one directory of mode 0700; False where it exists. Not yet durable. OSError."""
    if name == ".":
        return False
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        return False
    return True


def make_parents(path: Path, below: Path, identity: Identity | None) -> None:
    """Make the directories between `below` (which exists) and `path`, durable.

    `path` outside `below` must exist already. The last one (0700) is the account's, the ones
    between (0711: hashed homes) are the server's. What lies in somebody's own directory is made as
    he, and nothing is made in the directory of a third: its owner could have put a link there.
    Raises OSError.
    """
    try:
        parts = path.relative_to(below).parts
    except ValueError:
        with acting(identity):
            os.stat(path)
        return
    with acting(None), ExitStack() as stack:
        parent = open_directory(below)
        stack.callback(os.close, parent)
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            who = _maker(parent, identity)
            with acting(who):
                try:
                    os.mkdir(part, 0o700 if last else 0o711, dir_fd=parent)
                    made = True
                except FileExistsError:
                    made = False
                child = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=parent)
            stack.callback(os.close, child)
            if made:
                if not last:
                    os.fchmod(child, 0o711)  # whatever the umask: owners pass through
                elif identity is not None and who is None:
                    os.fchown(child, identity.uid, identity.gid)
                os.fsync(parent)
            parent = child


def _maker(directory: int, identity: Identity | None) -> Identity | None:
    """Return who may go on from a directory on the way to an account's home. PermissionError."""
    if identity is None:
        return None
    owner = os.fstat(directory).st_uid
    if owner in (0, os.geteuid()):
        return None
    if owner == identity.uid:
        return identity
    raise PermissionError(errno.EACCES, "the way to the home belongs to another user")


def _reason(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "error")

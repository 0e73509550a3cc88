"""The files of one account's backups: runs and their manifests (format: backup/__init__.py).

Written as the process itself, never as an owner of mail: the target is the operator's.
"""

import fcntl
import gzip
import json
import os
import re
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple
from urllib.parse import quote, unquote

from restante.model import ErrorKind, FolderName, MailError

FORMAT: Final = "restante mail backup 1"

_RUN: Final = re.compile(r"(\d{8}T\d{6}Z)\.json\.gz\Z")
_TIME: Final = "%Y%m%dT%H%M%SZ"
_SAFE: Final = "@+-_="


class Row(NamedTuple):
    """One message of a manifest."""

    uid: int
    base: bytes
    flags: int
    keywords: tuple[str, ...]
    wire_size: int
    date: int  # internal date, unix seconds
    uidl: bytes  # imported ones; b"": it follows from the name
    size: int  # bytes in the tar and on disk
    sha256: str
    pack: str  # the run whose tar has it
    offset: int  # of its first byte there


@dataclass(slots=True)
class SavedFolder:
    """A folder of a manifest."""

    name: FolderName
    uidvalidity: int
    uidnext: int
    modseq: int
    keywords: tuple[str, ...]
    special_use: str = ""
    subscribed: bool = False
    rows: list[Row] = field(default_factory=list)

    def state(self) -> tuple[object, ...]:
        """What differs when anything in the folder does."""
        return (
            self.name,
            self.uidvalidity,
            self.uidnext,
            self.modseq,
            self.keywords,
            self.special_use,
            self.subscribed,
            len(self.rows),
        )


@dataclass(slots=True)
class Manifest:
    """An account at one moment."""

    run: str
    address: str
    chain: str  # the full run that this one builds on; itself where it is one
    uidvalidity_mark: int = 0
    subscriptions: list[FolderName] = field(default_factory=list)
    folders: list[SavedFolder] = field(default_factory=list)

    def state(self) -> tuple[object, ...]:
        """What differs when anything in the account does."""
        return tuple(self.subscriptions), tuple(folder.state() for folder in self.folders)

    @property
    def messages(self) -> int:
        """How many messages."""
        return sum(len(folder.rows) for folder in self.folders)

    @property
    def size(self) -> int:
        """Their bytes on disk."""
        return sum(row.size for folder in self.folders for row in folder.rows)


class AccountPlace:
    """The directory of one account's backups."""

    def __init__(self, target: Path, address: str) -> None:
        self.address = address
        self.path = target / directory_of(address)

    def runs(self) -> list[str]:
        """Return the complete runs, the oldest first. MailError."""
        try:
            names = os.listdir(self.path)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise trouble(self.path, error) from error
        return sorted(found[1] for name in names if (found := _RUN.match(name)))

    def choose(self, at: str = "") -> str:
        """Return the last run, or the last one not after `at`. MailError(NOT_FOUND).

        `at`: 2026-11-22, 2026-11-22T15:00, or the name of a run; UTC.
        """
        digits = re.sub(r"[^0-9]", "", at)
        if at and not 8 <= len(digits) <= 14:
            raise MailError(ErrorKind.BAD_REQUEST, f"not a time: {at!r}")
        limit = digits.ljust(14, "9") if at else "9" * 14
        runs = [run for run in self.runs() if re.sub(r"[^0-9]", "", run) <= limit]
        if not runs:
            text = f"no backup of {self.address} in {self.path}" + (f" up to {at}" if at else "")
            raise MailError(ErrorKind.NOT_FOUND, text)
        return runs[-1]

    def tar(self, run: str) -> Path:
        """Return where the tar of a run is, or would be."""
        return self.path / f"{run}.tar"

    def manifest_path(self, run: str) -> Path:
        """Return where the manifest of a run is."""
        return self.path / f"{run}.json.gz"

    def read(self, run: str) -> Manifest:
        """Read a manifest. MailError(CORRUPT) where it is damaged, TEMPORARY."""
        path = self.manifest_path(run)
        try:
            with gzip.open(path, "rb") as file:
                return _parse(run, file)
        except (zlib.error, EOFError, ValueError, KeyError, TypeError, gzip.BadGzipFile) as error:
            raise MailError(ErrorKind.CORRUPT, f"{path} is damaged") from error
        except OSError as error:
            raise trouble(path, error) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one that writes here; makes the directory. MailError(IN_USE, TEMPORARY)."""
        try:
            _make(self.path)
            fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise trouble(self.path, error) from error
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                text = f"another backup of {self.address} is running"
                raise MailError(ErrorKind.TEMPORARY, text) from error
            self._clean()
            yield
        finally:
            os.close(fd)

    def _clean(self) -> None:
        """Remove what a killed run left."""
        runs = set(self.runs())
        for name in os.listdir(self.path):
            tar = name.removesuffix(".tar")
            if name.endswith(".part") or (tar != name and tar not in runs):
                os.unlink(self.path / name)

    def next_run(self) -> str:
        """Return the name of a new run, after all others."""
        runs = self.runs()
        now = int(time.time())
        while True:
            run = time.strftime(_TIME, time.gmtime(now))
            if not runs or run > runs[-1]:
                return run
            now = max(now, _seconds(runs[-1])) + 1

    def write(self, manifest: Manifest) -> None:
        """Make a run complete: its manifest, durable. MailError(TEMPORARY)."""
        path = self.manifest_path(manifest.run)
        part = path.with_name(path.name + ".part")
        try:
            with create_private(part) as file:
                with gzip.GzipFile("", "wb", 1, file, mtime=0) as packed:
                    for lines in _lines(manifest):
                        packed.write(lines)
                file.flush()
                os.fsync(file.fileno())
            os.rename(part, path)
            sync_directory(self.path)
        except OSError as error:
            raise trouble(path, error) from error

    def repeat(self, run: str, again: str) -> None:
        """Make a run that says what an earlier one said. MailError(TEMPORARY)."""
        try:
            os.link(self.manifest_path(run), self.manifest_path(again))
            sync_directory(self.path)
        except OSError as error:
            raise trouble(self.path, error) from error

    def prune(self, keep: int) -> list[str]:
        """Remove all runs but those of the last `keep` chains; returns them. MailError."""
        runs = self.runs()
        chains = {run: self.read(run).chain for run in runs}
        kept = set(sorted(set(chains.values()))[-keep:])
        gone = [run for run in runs if chains[run] not in kept]
        try:
            for run in gone:  # the manifest first: what it named must be whole while it is there
                os.unlink(self.manifest_path(run))
            sync_directory(self.path)
            for run in gone:
                with suppress(FileNotFoundError):
                    os.unlink(self.tar(run))
        except OSError as error:
            raise trouble(self.path, error) from error
        return gone


def directory_of(address: str) -> Path:
    """Return the directory of an account below the target."""
    local, _, domain = address.rpartition("@")
    return Path(_quoted(domain)) / _quoted(local) if local else Path("-") / _quoted(address)


def addresses(target: Path) -> list[str]:
    """Return the addresses that have a directory below the target. MailError(TEMPORARY)."""
    found = []
    try:
        for domain in sorted(os.listdir(target)):
            if not (target / domain).is_dir() or domain.startswith("."):
                continue
            for local in sorted(os.listdir(target / domain)):
                if (target / domain / local / "lock").exists():
                    name = unquote(local)
                    found.append(name if domain == "-" else f"{name}@{unquote(domain)}")
    except OSError as error:
        raise trouble(target, error) from error
    return found


def create_private(path: Path, buffering: int = -1) -> BinaryIO:
    """Make a file that only we can read. OSError."""
    return open(path, "xb", buffering, opener=lambda name, flags: os.open(name, flags, 0o600))


def trouble(path: Path, error: OSError) -> MailError:
    """Return what the operator is told."""
    return MailError(ErrorKind.TEMPORARY, f"{path}: {error.strerror or error}")


def sync_directory(path: Path) -> None:
    """Make names durable. OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _make(path: Path) -> None:
    if path.is_dir():
        return
    if not path.parent.is_dir():
        _make(path.parent)
    with suppress(FileExistsError):
        path.mkdir(0o700)
    sync_directory(path.parent)


def _seconds(run: str) -> int:
    import calendar  # noqa: PLC0415 - only when the clock went back, or two runs are in a second

    return calendar.timegm(time.strptime(run, _TIME))


def _quoted(text: str) -> str:
    quoted = quote(text, safe=_SAFE)
    return "%2E" + quoted[1:] if quoted.startswith(".") else quoted


# --- the manifest -----------------------------------------------------------------------------


def _lines(manifest: Manifest) -> Iterable[bytes]:
    yield _json(
        {
            "format": FORMAT,
            "address": manifest.address,
            "chain": manifest.chain,
            "uidvalidity_mark": manifest.uidvalidity_mark,
            "subscriptions": manifest.subscriptions,
        }
    )
    for folder in manifest.folders:
        yield _json(
            {
                "folder": folder.name,
                "uidvalidity": folder.uidvalidity,
                "uidnext": folder.uidnext,
                "modseq": folder.modseq,
                "keywords": folder.keywords,
                "special_use": folder.special_use,
                "subscribed": folder.subscribed,
                "messages": len(folder.rows),
            }
        )
        for row in folder.rows:
            yield _json(
                row._replace(base=os.fsdecode(row.base), uidl=os.fsdecode(row.uidl))  # type: ignore[arg-type]  # as text
            )
    yield _json({"end": True})


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _parse(run: str, file: Iterable[bytes]) -> Manifest:
    lines = iter(file)
    head = json.loads(next(lines, b"{}"))
    if head.get("format") != FORMAT:
        raise ValueError("another format")
    manifest = Manifest(
        run,
        head["address"],
        head["chain"],
        head["uidvalidity_mark"],
        [tuple(name) for name in head["subscriptions"]],
    )
    while True:
        value = json.loads(next(lines, b"{}"))
        if value.get("end"):
            if next(lines, None) is not None:  # it also makes gzip check its sum
                raise ValueError("more after the end")
            return manifest
        folder = SavedFolder(
            tuple(value["folder"]),
            value["uidvalidity"],
            value["uidnext"],
            value["modseq"],
            tuple(value["keywords"]),
            value["special_use"],
            value["subscribed"],
        )
        for _ in range(value["messages"]):
            folder.rows.append(_row(json.loads(next(lines))))
        manifest.folders.append(folder)


def _row(value: list[Any]) -> Row:
    uid, base, flags, keywords, wire_size, date, uidl, size, sha256, pack, offset = value
    if not re.fullmatch(r"\d{8}T\d{6}Z", pack):
        raise ValueError("not a run")
    return Row(
        uid,
        os.fsencode(base),
        flags & 63,
        tuple(keywords),
        wire_size,
        date,
        os.fsencode(uidl),
        size,
        sha256,
        pack,
        offset,
    )

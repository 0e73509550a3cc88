"""What a power cut would have left behind, computed from the system calls that a process made.

A program runs under strace; its calls on one directory tree are replayed into a model of a disk
that forgets everything that was not synchronised. After each call the model can say which files
would exist, with which bytes, had the power failed right then, in two ways a real disk may
choose from:

- LOST: names and data that were not fsynced are gone;
- TORN: every name made so far is there, data that was not fsynced is gone.

A rename is atomic (as journaling file systems and NFS servers make it) and, like a link and an
unlink, is on disk once one of its directories was fsynced. Calls that began but did not end
before another call are put where they ended; replies to clients where they began, so that the
model is never kinder than the disk.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

CALLS = (
    "openat,open,creat,write,pwrite64,writev,ftruncate,fsync,fdatasync,link,linkat,rename,"
    "renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,sendto,sendmsg"
)
STRACE = ("strace", "-f", "-yy", "--seccomp-bpf", "-s", "300000", "-e", f"trace={CALLS}", "-o")

_LINE = re.compile(r"(\d+)\s+(.*)$", re.DOTALL)
_CALL = re.compile(r"(\w+)\((.*)\)\s+=\s+(-?\d+)(.*)$", re.DOTALL)
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>\s?(.*)$", re.DOTALL)
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_AT = re.compile(r'(?:(AT_FDCWD|\d+)<([^>]*)>, )?"((?:[^"\\]|\\.)*)"')
_FD = re.compile(r"(\d+)<(.*?)>(?:\(deleted\))?(?:, |$)", re.DOTALL)
_REPLY = re.compile(r"(?:sendto|sendmsg|write|writev)\(\d+<(?:TCP|UNIX)")


@dataclass(frozen=True, slots=True)
class Call:
    """One finished system call."""

    name: str
    args: str
    result: int


def calls(trace: str) -> Iterator[Call]:
    """Yield the calls of an strace -f output in order (see the module for which order)."""
    open_calls: dict[str, str] = {}
    for raw in trace.split("\n"):
        found = _LINE.match(raw)
        if found is None:
            continue
        pid, text = found.groups()
        if text.endswith("<unfinished ...>"):
            head = text.removesuffix("<unfinished ...>").rstrip()
            if _REPLY.match(head):
                name, _, args = head.partition("(")
                yield Call(name, args, 1)
                continue
            open_calls[pid] = head
            continue
        resumed = _RESUMED.match(text)
        if resumed is not None:
            text = open_calls.pop(pid, "") + resumed[2]
        whole = _CALL.match(text)
        if whole is not None and int(whole[3]) >= 0:
            yield Call(whole[1], whole[2], int(whole[3]))


def connection_of(call: Call) -> str | None:
    """Return "server->client" where the call writes to a TCP connection."""
    found = re.match(r"\d+<TCP(?:v6)?:\[([^\]]*(?:\][^>]*->[^\]]*)?)\]>", call.args)
    return found[1] if found and call.name in ("sendto", "sendmsg", "write", "writev") else None


def text_of(args: str) -> bytes:
    """Return the bytes of all strings among the arguments, joined."""
    return b"".join(_unescape(piece) for piece in _STRING.findall(args))


def _unescape(piece: str) -> bytes:
    return codecs.escape_decode(piece.encode("latin-1"))[0]


@dataclass(slots=True)
class _Inode:
    data: bytearray = field(default_factory=bytearray)
    synced: bytes = b""


class Disk:
    """The tree under `root` as the process sees it, and as a power cut would leave it."""

    def __init__(self, root: str) -> None:
        self._root = root.rstrip("/") + "/"
        self._now: dict[str, _Inode] = {}
        self._durable: dict[str, _Inode] = {}
        self._last: dict[str, _Inode] = {}
        self._pending: list[tuple[frozenset[str], str, str | None, _Inode | None]] = []

    def lost(self) -> dict[str, bytes]:
        """Return the files left when all that was not fsynced is gone."""
        return {name: inode.synced for name, inode in self._durable.items()}

    def torn(self) -> dict[str, bytes]:
        """Return the files left when names were written ahead of their data."""
        return {name: inode.synced for name, inode in self._now.items()}

    def apply(self, call: Call) -> None:
        """Replay one call; calls on other trees are passed over."""
        match call.name:
            case "openat" | "open" | "creat":
                self._open(call)
            case "write" | "writev" | "pwrite64":
                self._write(call)
            case "ftruncate":
                if inode := self._inode(call.args):
                    del inode.data[int(call.args.rpartition(",")[2]) :]
            case "fsync" | "fdatasync":
                self._sync(call)
            case "link" | "linkat" | "rename" | "renameat" | "renameat2":
                self._link(call)
            case "unlink" | "unlinkat":
                (path,) = self._paths(call.args)
                if path in self._now:
                    del self._now[path]
                    self._later(path, None, None)

    def _paths(self, args: str) -> list[str]:
        out = []
        for _, base, piece in _AT.findall(args):
            name = _unescape(piece).decode("utf-8", "surrogateescape")
            out.append(str(PurePosixPath(base) / name) if base else name)
        return out

    def _mine(self, path: str) -> bool:
        return path.startswith(self._root)

    def _open(self, call: Call) -> None:
        path = self._paths(call.args)[0]
        if not self._mine(path) or "O_CREAT" not in call.args or path in self._now:
            if self._mine(path) and "O_TRUNC" in call.args and path in self._now:
                self._now[path].data.clear()
            return
        inode = _Inode()
        self._now[path] = self._last[path] = inode
        self._later(path, path, inode)

    def _inode(self, args: str) -> _Inode | None:
        found = _FD.match(args)
        if found is None:
            return None
        path = found[2].removesuffix(" (deleted)")
        return self._now.get(path) or self._last.get(path) if self._mine(path) else None

    def _write(self, call: Call) -> None:
        inode = self._inode(call.args)
        if inode is None:
            return
        chunk = text_of(call.args.partition(">")[2])[: call.result]
        if call.name == "pwrite64":
            at = int(call.args.rpartition(",")[2])
            inode.data[at : at + len(chunk)] = chunk
        else:
            inode.data += chunk

    def _sync(self, call: Call) -> None:
        inode = self._inode(call.args)
        if inode is not None:
            inode.synced = bytes(inode.data)
            return
        found = _FD.match(call.args)
        folder = found[2] if found else ""
        rest = []
        for entry in self._pending:
            folders, gone, made, target = entry
            if folder not in folders:
                rest.append(entry)
                continue
            if made != gone:
                self._durable.pop(gone, None)
            if made is not None and target is not None:
                self._durable[made] = target
        self._pending = rest

    def _link(self, call: Call) -> None:
        source, target = self._paths(call.args)[:2]
        inode = self._now.get(source)
        if inode is None or not self._mine(target):
            return
        self._now[target] = self._last[target] = inode
        if call.name.startswith("rename"):
            del self._now[source]
            self._later(source, target, inode)
        else:
            self._later(target, target, inode)

    def _later(self, gone: str, made: str | None, inode: _Inode | None) -> None:
        folders = {str(PurePosixPath(p).parent) for p in (gone, made) if p is not None}
        self._pending.append((frozenset(folders), gone, made, inode))

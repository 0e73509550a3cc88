"""Whose rights a thread has on the mail volume: one process serves the mail of many owners.

`setfsuid(2)` and `setfsgid(2)` change the calling thread alone; so do the bare system calls
setgroups and capset (the C library's setgroups would change all threads). While a thread acts as
an owner, the kernel checks every path and every open against that owner, and what is made belongs
to him: nothing is given away by chown afterwards, and a symbolic or hard link in one Maildir opens
nothing of another's.

When an owner is acted for (`identity_of`):

- an account with the process's own uid and gid: never, it is ours;
- another one, and the process has CAP_SETUID and CAP_SETGID: always, whoever calls;
- another one without them: never; all mail is the process's own (one uid for all virtual users).
  A process of root without them refuses: no mail is touched as root but root's own.

Invariants: `acting` ends in the identity that it began in, whatever happens inside; where the
kernel refuses that, the process ends at once, since the next job would act as somebody else. Root
as an owner of another process's mail is refused. A thread that acts keeps no capability that
would lift the checks: the kernel takes CAP_DAC_OVERRIDE and its like from a thread that leaves
uid 0, the others lose them here, and CAP_SYS_RESOURCE with them, which would lift disk quotas.

Never around an await: other tasks of the loop would run in it.

Descriptors keep the rights that they were opened with, as far as reading, writing and syncing go.
Names relative to an open directory are checked anew each time.
"""

import ctypes
import logging
import os
import platform
import threading
from collections.abc import Callable
from functools import lru_cache
from types import TracebackType
from typing import Final, NoReturn

from restante.model import ErrorKind, MailError

_log: Final = logging.getLogger(__name__)

_QUERY: Final = 0xFFFFFFFF  # no id: setfsuid and setfsgid only tell the present one
_CAP_SETGID: Final = 1 << 6
_CAP_SETUID: Final = 1 << 7
# CHOWN is not among them: nothing is given away while acting, and homes are before.
_LIFTING: Final = sum(1 << bit for bit in (1, 2, 3, 4, 9, 24, 27, 32))
"""DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID, LINUX_IMMUTABLE, SYS_RESOURCE, MKNOD, MAC_*."""
_VERSION_3: Final = 0x20080522
_SETGROUPS: Final = {
    **dict.fromkeys(("x86_64", "amd64"), 116),
    **dict.fromkeys(("aarch64", "arm64", "riscv64"), 159),
    **dict.fromkeys(("i386", "i686", "armv7l", "armv8l", "s390x"), 206),
    "ppc64le": 81,
}.get(platform.machine())

# PyDLL keeps the interpreter's lock: these calls do not wait, and giving the lock away could.
_libc: Final = ctypes.PyDLL(None, use_errno=True)
_setfsuid: Final = _libc.setfsuid
_setfsgid: Final = _libc.setfsgid
for _function in (_setfsuid, _setfsgid):
    _function.argtypes = (ctypes.c_uint,)
    _function.restype = ctypes.c_uint


class Identity:
    """An owner, compared by uid and gid."""

    __slots__ = ("gid", "uid")

    def __init__(self, uid: int, gid: int) -> None:
        self.uid, self.gid = uid, gid

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and (self.uid, self.gid) == (other.uid, other.gid)

    def __hash__(self) -> int:
        return hash((self.uid, self.gid))

    def __repr__(self) -> str:
        return f"Identity(uid={self.uid}, gid={self.gid})"


@lru_cache(maxsize=65536)  # one object for an owner: comparing is quick
def _identity(uid: int, gid: int) -> Identity:
    return Identity(uid, gid)


def identity_of(uid: int, gid: int) -> Identity | None:
    """Return whom to act for with the mail of an account; None: as the process itself.

    MailError(TEMPORARY) where that would be an access as root, with a text for the operator.
    """
    if (uid, gid) == (os.geteuid(), os.getegid()):
        return None
    missing = missing_capabilities()
    if missing:
        if os.geteuid():
            return None
        raise MailError(
            ErrorKind.TEMPORARY, f"uid {uid}: a service of root needs {' and '.join(missing)}"
        )
    if not uid:
        raise MailError(ErrorKind.TEMPORARY, "mail of uid 0 is not served by another user")
    return _identity(uid, gid)


@lru_cache(maxsize=1)
def missing_capabilities() -> tuple[str, ...]:
    """Return what the process lacks to act for others."""
    effective = _capabilities()[0]
    wanted = (("CAP_SETUID", _CAP_SETUID), ("CAP_SETGID", _CAP_SETGID))
    missing = [name for name, bit in wanted if not effective & bit]
    if not missing and _SETGROUPS is None:
        missing.append(f"the number of setgroups on {platform.machine()}")
    return tuple(missing)


class _Thread(threading.local):
    identity: Identity | None = None  # None: the process's own
    prepared = False  # it has lost what would lift the checks


_thread: Final = _Thread()


def current() -> Identity | None:
    """Return whom this thread acts for; None: the process itself."""
    return _thread.identity


class acting:  # noqa: N801 - a context manager that reads like a function
    """Act for an owner inside; None: as the process itself. Nests; cheap where nothing changes.

    MailError(TEMPORARY) where the kernel refuses.
    """

    __slots__ = ("_before", "_identity")

    def __init__(self, identity: Identity | None) -> None:
        self._identity = identity

    def __enter__(self) -> None:
        before = self._before = _thread.identity
        if before is not self._identity:
            try:
                _become(self._identity)
            except BaseException:
                _restore(before)
                raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._before is not self._identity:
            _restore(self._before)


def _become(identity: Identity | None) -> None:
    groups = _process_groups()
    if identity is None:
        uid, gid = _process_ids()
        if groups and _thread.identity is not None:
            _set_groups(groups)
        _setfsgid(gid)
        _setfsuid(uid)  # neither can fail: they are the process's own
        _thread.identity = None
        return
    before, _thread.identity = _thread.identity, identity
    if groups and before is None:
        _set_groups(())
    uid, gid = identity.uid, identity.gid
    _setfsgid(gid)
    _setfsuid(uid)
    if _setfsuid(_QUERY) != uid or _setfsgid(_QUERY) != gid:
        raise MailError(ErrorKind.TEMPORARY, f"the kernel does not let us act as {uid}:{gid}")
    if not _thread.prepared:
        _drop_capabilities()
        _thread.prepared = True


def _restore(identity: Identity | None) -> None:
    try:
        _become(identity)
    except MailError as error:
        _end_process(error)


def _end_process(error: MailError) -> NoReturn:
    _log.critical("a thread cannot leave the identity of a user: %s", error.text)
    os._exit(70)


@lru_cache(maxsize=1)
def _process_ids() -> tuple[int, int]:
    return os.geteuid(), os.getegid()


@lru_cache(maxsize=1)
def _process_groups() -> tuple[int, ...]:
    return tuple(os.getgroups())


def _set_groups(groups: tuple[int, ...]) -> None:
    array = (ctypes.c_uint32 * len(groups))(*groups)
    if _libc.syscall(_SETGROUPS, ctypes.c_size_t(len(groups)), array):
        raise MailError(ErrorKind.TEMPORARY, "the kernel does not let us change groups")


# --- capabilities (capget(2)) ---------------------------------------------------------------------


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable"))


def _call(function: Callable[..., int], sets: "ctypes.Array[_Sets]") -> None:
    if function(ctypes.byref(_Header(_VERSION_3, 0)), sets):
        text = os.strerror(ctypes.get_errno())
        raise MailError(ErrorKind.TEMPORARY, f"capabilities cannot be changed: {text}")


def _capabilities() -> tuple[int, int]:
    """Return the effective and the permitted ones of this thread, as masks."""
    sets = (_Sets * 2)()
    _call(_libc.capget, sets)
    low, high = sets
    return low.effective | high.effective << 32, low.permitted | high.permitted << 32


def _drop_capabilities() -> None:
    """Take from this thread, which acts for another, what would lift the checks."""
    effective, permitted = _capabilities()
    keep = effective & ~_LIFTING
    if keep != effective:
        sets = (_Sets * 2)()
        _call(_libc.capget, sets)
        if os.geteuid():  # else the kernel gives and takes them with uid 0
            permitted &= ~_LIFTING
        for number, half in enumerate(sets):
            half.effective = keep >> 32 * number & 0xFFFFFFFF
            half.permitted = permitted >> 32 * number & 0xFFFFFFFF
        _call(_libc.capset, sets)

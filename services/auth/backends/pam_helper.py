"""The process that asks PAM and the name service: one question at a time, from standard input.

Not part of the auth process, since modules of PAM and of the name service may hang, crash, leak,
change signal handlers or fork. It is run by its path and imports nothing of ours. Whoever asks
kills it when it takes too long; its own alarm does where nobody is left to.

Frames, both ways: 4 bytes of length (big endian), then fields separated by NUL. Questions:

    find NAME                                     -> one user, or "none"
    list MIN MAX                                  -> pages of users, then "none"
    check SERVICE USER PEER PASSWORD              -> "code" and PAM's number in decimal
    change SERVICE USER OLD NEW                   -> the same
    ready                                         -> "code" 0 where libpam can be loaded

A user is "user", name, uid, gid, home, gecos; a page is many of them in one frame. A fault of the
name service is "fault" and the number of the error.

getpwnam_r and getpwent_r are called as they are: Python's `pwd` says KeyError for every error of
3.11, and "the directory is down" must not read as "no such user".

There is no delay after a wrong password here (PAM_FAIL_DELAY): auth delays all failures itself,
and a sleeping helper would be one that nobody else can use.
"""

import ctypes
import importlib
import os
import signal
import struct
import sys
from collections.abc import Iterator
from typing import Any

_LENGTH = struct.Struct(">I")
_MAX = 64 << 10
_PAGE = 128
_PAM_FAIL_DELAY = 10
_ENOENT, _ERANGE = 2, 34


class _Passwd(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("password", ctypes.c_char_p),
        ("uid", ctypes.c_uint32),
        ("gid", ctypes.c_uint32),
        ("gecos", ctypes.c_char_p),
        ("home", ctypes.c_char_p),
        ("shell", ctypes.c_char_p),
    )


_libc = ctypes.CDLL(None)
_no_delay = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)(lambda *_: None)


def _user(found: _Passwd) -> list[bytes]:
    ids = [str(found.uid).encode(), str(found.gid).encode()]
    return [b"user", found.name or b"", *ids, found.home or b"", found.gecos or b""]


def _find(name: bytes) -> list[bytes]:
    entry, result, size = _Passwd(), ctypes.POINTER(_Passwd)(), 4096
    while True:
        buffer = ctypes.create_string_buffer(size)
        code = _libc.getpwnam_r(
            ctypes.c_char_p(name),
            ctypes.byref(entry),
            buffer,
            ctypes.c_size_t(size),
            ctypes.byref(result),
        )
        if code != _ERANGE or size > _MAX * 16:
            break
        size *= 2
    if code:
        return [b"fault", str(code).encode()]
    return _user(entry) if result else [b"none"]


def _list(low: int, high: int) -> Iterator[list[bytes]]:
    entry, result, size = _Passwd(), ctypes.POINTER(_Passwd)(), 4096
    page: list[bytes] = []
    _libc.setpwent()
    while True:
        buffer = ctypes.create_string_buffer(size)
        code = _libc.getpwent_r(
            ctypes.byref(entry), buffer, ctypes.c_size_t(size), ctypes.byref(result)
        )
        if code == _ERANGE and size <= _MAX * 16:
            size *= 2
            continue
        if code:
            break
        if low <= entry.uid <= high:
            page += _user(entry)
        if len(page) >= 6 * _PAGE:
            yield page
            page = []
    _libc.endpwent()
    if page:
        yield page
    yield [b"none"] if code == _ENOENT else [b"fault", str(code).encode()]


class _Pam:
    """libpam by way of python-pam."""

    def __init__(self) -> None:
        self.types = importlib.import_module("pam.__internals")
        self.change_password = ctypes.CDLL("libpam.so.0").pam_chauthtok

    def check(self, service: bytes, user: bytes, peer: bytes, password: bytes) -> int:
        """Return PAM's code: 0 where both the password and the account are good."""
        pam = self.types.PamAuthenticator()
        authenticate = pam.pam_authenticate

        def with_items(handle: object, flags: int) -> int:
            code = self._set_items(pam, handle, peer)
            return code or int(authenticate(handle, flags))

        pam.pam_authenticate = with_items
        pam.authenticate(user, password, service=service, resetcreds=False)
        return int(pam.code)

    def change(self, service: bytes, user: bytes, old: bytes, new: bytes) -> int:
        """Set a password; returns PAM's code."""
        types, pam = self.types, self.types.PamAuthenticator()

        @types.conv_func  # type: ignore[untyped-decorator]  # python-pam has no types
        def converse(count: int, messages: object, responses: object, _: object) -> int:
            return _converse(types, pam, (count, messages, responses), (old, new))

        conversation = types.PamConv(converse, None)
        handle = types.PamHandle()
        code = int(pam.pam_start(service, user, ctypes.byref(conversation), ctypes.byref(handle)))
        if code:
            return code
        code = self._set_items(pam, handle, b"")
        code = code or int(self.change_password(handle, types.PAM_SILENT))
        pam.pam_end(handle, code)
        return code

    def _set_items(self, pam: Any, handle: object, peer: bytes) -> int:
        set_item = pam.pam_set_item
        code = int(set_item(handle, _PAM_FAIL_DELAY, ctypes.cast(_no_delay, ctypes.c_void_p)))
        if peer:
            code = code or int(set_item(handle, self.types.PAM_RHOST, ctypes.c_char_p(peer)))
        return code


def _converse(
    types: Any, pam: Any, call: tuple[int, Any, Any], passwords: tuple[bytes, bytes]
) -> int:
    """Answer prompts without echo: "Current password" by the old one, all others by the new one."""
    count, messages, responses = call
    answers = ctypes.cast(
        pam.calloc(count, ctypes.sizeof(types.PamResponse)), ctypes.POINTER(types.PamResponse)
    )
    responses[0] = answers
    for number in range(count):
        message = messages[number].contents
        if message.msg_style == types.PAM_PROMPT_ECHO_OFF:
            text = (message.msg or b"").lower()
            answer = passwords[0 if b"current" in text or b"old" in text else 1]
            copied = pam.calloc(len(answer) + 1, 1)
            ctypes.memmove(copied, answer, len(answer))
            answers[number].resp = copied
    return 0  # PAM_SUCCESS


def _answers(fields: list[bytes], pam: list[_Pam]) -> Iterator[list[bytes]]:
    what, *values = fields
    if what == b"find":
        yield _find(values[0])
    elif what == b"list":
        yield from _list(int(values[0]), int(values[1]))
    else:
        if not pam:
            pam.append(_Pam())
        code = 0
        if what == b"check":
            code = pam[0].check(*values)
        elif what == b"change":
            code = pam[0].change(*values)
        yield [b"code", str(code).encode()]


def _read(channel: int, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = os.read(channel, count - len(data))
        if not piece:
            raise SystemExit(0)  # whoever asked is gone
        data += piece
    return data


def _write(channel: int, data: bytes) -> None:
    while data:
        data = data[os.write(channel, data) :]


def main(seconds: int) -> None:
    """Answer until standard input, a socket, ends; no question takes longer than `seconds`."""
    channel = os.dup(0)  # what modules run must not have it
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    pam: list[_Pam] = []
    while True:
        (length,) = _LENGTH.unpack(_read(channel, _LENGTH.size))
        fields = _read(channel, length).split(b"\0")
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(seconds)
        for answer in _answers(fields, pam):
            data = b"\0".join(answer)
            _write(channel, _LENGTH.pack(len(data)) + data)
            signal.alarm(seconds)
        signal.alarm(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))

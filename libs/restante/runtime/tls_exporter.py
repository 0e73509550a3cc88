"""The tls-exporter channel binding (RFC 9266), which the module ssl does not give.

OpenSSL can: SSL_export_keying_material of the very library that the module _ssl is linked to. What
is missing is the pointer to the connection, which stands in the object _ssl._SSLSocket behind the
object's head and one other pointer, and before one that we know, that of its context. So:

- Only CPython with its usual object head, and only where the pointer behind ours is the address
  of the context that Python itself names: the object is laid out as we think, or we read nothing.
- Only TLS 1.3: before it, a binding by exporter needs the extended master secret as well.
- Where any of that is not so, or OpenSSL is linked into Python invisibly, there is no tls-exporter,
  and tls-server-end-point is what is offered.
"""

import ctypes
import ssl
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, Final

LABEL: Final = b"EXPORTER-Channel-Binding"
SIZE: Final = 32  # octets

_POINTER: Final = ctypes.sizeof(ctypes.c_void_p)
_HEAD: Final = object.__basicsize__  # reference count and type
_SSL: Final = _HEAD + _POINTER  # behind a weak reference to the socket
_CONTEXT: Final = _HEAD + 2 * _POINTER


def exporter(connection: ssl.SSLObject) -> bytes:
    """Return the binding of an established connection, b"" where it cannot be told."""
    export = _function()
    if export is None or connection.version() != "TLSv1.3":
        return b""
    inner = getattr(connection, "_sslobj", None)
    if inner is None or type(inner).__basicsize__ < _CONTEXT + _POINTER:
        return b""
    address = id(inner)
    if _pointer_at(address + _CONTEXT) != id(connection.context):
        return b""
    where = _pointer_at(address + _SSL)
    if not where:
        return b""
    out = ctypes.create_string_buffer(SIZE)
    done = export(where, out, SIZE, LABEL, len(LABEL), None, 0, 0)
    return out.raw if done == 1 else b""


def _pointer_at(address: int) -> int:
    return ctypes.c_void_p.from_address(address).value or 0


@cache
def _function() -> Callable[..., int] | None:
    """Return OpenSSL's function, None where it is out of reach."""
    if sys.implementation.name != "cpython" or _HEAD != 2 * _POINTER:
        return None
    import _ssl  # noqa: PLC0415 - only here, where the implementation is known

    try:
        # PyDLL: the connection is not touched by another thread meanwhile.
        library = ctypes.PyDLL(getattr(_ssl, "__file__", ""))
        found: Any = library.SSL_export_keying_material
    except (OSError, AttributeError):
        return None
    found.restype = ctypes.c_int
    found.argtypes = (
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_int,
    )
    return found  # type: ignore[no-any-return]  # ctypes has no types for functions

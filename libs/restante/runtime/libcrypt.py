"""crypt(3) of the system by ctypes: DES, $1$, $2a/b/y$, $5$, $6$, $7$, $y$, $gy$ and kin.

`crypt_r` works in a buffer of ours, so calls of several threads do not meet, and ctypes
releases the GIL meanwhile. (Python's own crypt module holds the GIL and is gone in 3.13.)
"""

import ctypes
import ctypes.util
import secrets
import threading
from typing import Final

from restante.model import ErrorKind, MailError

# struct crypt_data: 32 KiB in libxcrypt, 128 KiB in glibc before it.
_DATA_BYTES: Final = 256 * 1024
_SETTING_BYTES: Final = 192  # CRYPT_GENSALT_OUTPUT_SIZE
_SALT_BYTES: Final = 16  # 128 bits

_local = threading.local()
_library: ctypes.CDLL | None = None


def _load() -> ctypes.CDLL:
    global _library
    if _library is None:
        name = ctypes.util.find_library("crypt") or "libcrypt.so.1"
        try:
            library = ctypes.CDLL(name)
            library.crypt_r.restype = ctypes.c_char_p
            library.crypt_r.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
        except (OSError, AttributeError) as error:
            raise MailError(ErrorKind.TEMPORARY, "libcrypt is missing") from error
        _library = library
    return _library


def crypt(password: bytes, setting: bytes) -> bytes | None:
    """Return crypt(password, setting), None where libcrypt does not know the setting.

    A password with a NUL would be cut there by C, so it has no hash: None. So has one of
    512 bytes or more (libxcrypt's bound). Raises MailError(TEMPORARY) without libcrypt.
    """
    if b"\0" in password or b"\0" in setting or not setting:
        return None
    library = _load()
    data = getattr(_local, "data", None)
    if data is None:
        data = _local.data = ctypes.create_string_buffer(_DATA_BYTES)
    result: bytes | None = library.crypt_r(password, setting, data)
    # "*0" and "*1" are libcrypt's failure tokens, made never to equal a stored hash.
    return None if result is None or result.startswith(b"*") else result


def new_setting(prefix: str) -> bytes | None:
    """Return a setting with a new salt and the usual cost for "$6$", "$y$", "$1$"...

    None where this libcrypt cannot. Raises MailError(TEMPORARY) without libcrypt.
    """
    make = getattr(_load(), "crypt_gensalt_rn", None)  # libxcrypt's; not every libcrypt has it
    if make is None:
        return None
    text, number = ctypes.c_char_p, ctypes.c_int
    make.restype, make.argtypes = text, (text, ctypes.c_ulong, text, number, text, number)
    made = ctypes.create_string_buffer(_SETTING_BYTES)
    salt = secrets.token_bytes(_SALT_BYTES)
    result: bytes | None = make(prefix.encode(), 0, salt, len(salt), made, len(made))
    return result

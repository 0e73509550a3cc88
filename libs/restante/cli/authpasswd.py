"""`authpasswd [method]`: asks for a password and prints its hash, in Courier's schemes.

Without a method: $1$, as Courier's; any word that is no method: {SSHA}, as Courier's. These are
weak; argon2id, yescrypt and sha512-crypt (method names of ours) are better wherever Courier need
not read the hash.
"""

import base64
import getpass
import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final

from restante.cli.classic import application, run_command

NAME: Final = "authpasswd"


def authpasswd(words: Sequence[str]) -> int:
    """Ask, and print the hash; return the exit code."""
    if len(words) > 1 or (words and words[0].startswith("-")):
        sys.stderr.write("usage: authpasswd [method]\n")
        return 1
    password = _ask()
    if not password:
        return 1
    make = _METHODS.get(words[0], _ssha) if words else _crypt("$1$")
    sys.stdout.write(make(password) + "\n")
    return 0


def _ask() -> bytes:
    """Return the password: typed twice at a terminal, else one line of stdin."""
    if not sys.stdin.isatty():
        return sys.stdin.buffer.readline().rstrip(b"\r\n")
    try:
        while True:
            first = getpass.getpass("Password: ")
            if not first or getpass.getpass("Reenter password: ") == first:
                return first.encode("utf-8", "surrogateescape")
            sys.stderr.write("Passwords don't match.\n\n")
    except EOFError:
        return b""


def _crypt(prefix: str) -> Callable[[bytes], str]:
    def make(password: bytes) -> str:
        from restante.runtime import libcrypt  # noqa: PLC0415 - loads a C library

        setting = libcrypt.new_setting(prefix)
        made = libcrypt.crypt(password, setting) if setting else None
        if made is None:
            raise OSError(0, f"this system's crypt() cannot make {prefix} hashes", NAME)
        return made.decode("ascii")

    return make


def _argon2id(password: bytes) -> str:
    import argon2  # noqa: PLC0415 - slow to load, seldom wanted

    return argon2.PasswordHasher().hash(password)


def _digest(scheme: str, name: str, coding: Callable[[bytes], bytes]) -> Callable[[bytes], str]:
    def make(password: bytes) -> str:
        made = hashlib.new(name, password, usedforsecurity=False).digest()
        return f"{{{scheme}}}{coding(made).decode('ascii')}"

    return make


def _ssha(password: bytes) -> str:
    salt = os.urandom(4)
    made = hashlib.sha1(password + salt, usedforsecurity=False).digest()
    return "{SSHA}" + base64.b64encode(made + salt).decode("ascii")


def _hex(data: bytes) -> bytes:
    return data.hex().encode()


_METHODS: Final[dict[str, Callable[[bytes], str]]] = {
    "md5": _digest("MD5", "md5", base64.b64encode),
    "md5raw": _digest("MD5RAW", "md5", _hex),
    "sha": _digest("SHA", "sha1", base64.b64encode),
    "ssha": _ssha,
    "sha256": _digest("SHA256", "sha256", base64.b64encode),
    "sha512": _digest("SHA512", "sha512", base64.b64encode),
    "argon2id": _argon2id,
    "yescrypt": _crypt("$y$"),
    "sha512-crypt": _crypt("$6$"),
}


app = application(NAME, authpasswd, "Print the hash of a password, as Courier's authpasswd.")


def main() -> int:
    """Run as the program `authpasswd`."""
    return run_command(NAME, authpasswd, sys.argv[1:])

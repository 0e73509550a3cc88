"""`userdbpw`: read a password, print what userdb keeps of it, as Courier's command of that name.

On a terminal it asks twice without echo; else it reads one line. `userdbpw | userdb NAME set
systempw` sets a password, `userdbpw -hmac-md5 | userdb NAME set hmac-md5pw` one for CRAM-MD5.

Without an option it is SHA-512 of crypt(3), which Courier and everything else on Linux knows.
(Courier's own default is the old DES crypt, which sees eight characters.)
"""

import getpass
import sys
from collections.abc import Callable, Sequence
from typing import Final

import argon2

from restante.cli import classic
from restante.model import ErrorKind, MailError
from restante.runtime import libcrypt
from restante.wire import hmac_state

_DEFAULT: Final = "sha512"


def _crypt(prefix: str) -> Callable[[bytes], str]:
    def run(password: bytes) -> str:
        setting = libcrypt.new_setting(prefix)
        made = libcrypt.crypt(password, setting) if setting else None
        if made is None:
            raise MailError(ErrorKind.CANNOT, "libcrypt of this system cannot make this hash")
        return made.decode()

    return run


def _contexts(name: str) -> Callable[[bytes], str]:
    return lambda password: hmac_state.contexts(name, password)


def _argon2id(password: bytes) -> str:
    return argon2.PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1).hash(password)


_KINDS: Final[dict[str, Callable[[bytes], str]]] = {
    "md5": _crypt("$1$"),
    "sha512": _crypt("$6$"),
    "yescrypt": _crypt("$y$"),
    "argon2id": _argon2id,
    **{f"hmac-{name}": _contexts(name) for name in hmac_state.NAMES},
}


_USAGE: Final = f"userdbpw [{' | '.join(f'-{name}' for name in _KINDS)}]"


def command(words: Sequence[str]) -> int:
    """Do what the words say. Raises MailError."""
    if len(words) > 1 or (words and not words[0].startswith("-")):
        return classic.usage(_USAGE)
    kind = _KINDS.get(words[0].lstrip("-") if words else _DEFAULT)
    if kind is None:
        return classic.usage(_USAGE)
    print(kind(_password()))
    return 0


def _password() -> bytes:
    if sys.stdin.isatty():
        text = getpass.getpass("Password: ")
        if getpass.getpass("Reenter password: ") != text:
            raise MailError(ErrorKind.BAD_REQUEST, "the passwords differ")
        password = text.encode("utf-8", "surrogateescape")
    else:
        password = sys.stdin.buffer.readline().removesuffix(b"\n").removesuffix(b"\r")
    if not password:
        raise MailError(ErrorKind.BAD_REQUEST, "no password on standard input")
    return password


app = classic.application("userdbpw", command, "Print a password's hash for userdb.", _USAGE)


def main() -> int:
    """Run as a command of its own."""
    return classic.run_command("userdbpw", command, sys.argv[1:])

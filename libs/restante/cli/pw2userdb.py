"""`pw2userdb`: print the system's accounts as lines of userdb, as Courier's command does.

--passwd and --shadow name other files than those of /etc, --noshadow leaves passwords out that
passwd does not have, --nouid the lines that find a name by its uid, --domain is put behind names.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from restante.cli import classic
from restante.model import ErrorKind, MailError
from restante.userdb.passwd import convert

_USAGE: Final = "pw2userdb [--passwd FILE] [--shadow FILE | --noshadow] [--nouid] [--domain NAME]"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise MailError(ErrorKind.BAD_REQUEST, message)


def command(words: Sequence[str]) -> int:
    """Do what the words say. Raises MailError, OSError."""
    parser = _Parser("pw2userdb", add_help=False, allow_abbrev=False)
    parser.add_argument("--passwd", type=Path, default=Path("/etc/passwd"))
    parser.add_argument("--shadow", type=Path, default=Path("/etc/shadow"))
    parser.add_argument("--noshadow", action="store_true")
    parser.add_argument("--nouid", action="store_true")
    parser.add_argument("--domain", default="")
    given = parser.parse_args(words)
    shadow = given.shadow if given.shadow.is_file() and not given.noshadow else None
    for line in convert(given.passwd, shadow, domain=given.domain, reverse=not given.nouid):
        classic.emit(line)
    return 0


app = classic.application("pw2userdb", command, "Print the system's accounts as a userdb.", _USAGE)


def main() -> int:
    """Run as a command of its own."""
    return classic.run_command("pw2userdb", command, sys.argv[1:])

"""`makeuserdb`: make userdb.dat and userdbshadow.dat from a userdb, as Courier's command does.

With -dbm also userdb.db and userdbshadow.db, which Debian's exim reads by its lookups dbm and dbmnz
(Courier's files are GDBM there, exim's DBM is Berkeley DB); with -cdb also userdb.cdb and
userdbshadow.cdb. Prints nothing where all went well.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from restante.cli import classic
from restante.userdb import make

_USAGE: Final = "makeuserdb [-f FILE] [-dbm] [-cdb]"
_KINDS: Final = {"dbm": make.BERKELEY, "cdb": make.CDB}


def command(words: Sequence[str]) -> int:
    """Do what the words say. Raises MailError, OSError."""
    top = None
    kinds = [make.GDBM]
    rest = list(words)
    while rest:
        word = rest.pop(0)
        kind = _KINDS.get(word.lstrip("-")) if word.startswith("-") else None
        if word == "-f" and rest:
            top = Path(rest.pop(0).rstrip("/")).absolute()
        elif kind is not None:
            kinds.append(kind)
        else:
            return classic.usage(_USAGE)
    make.make(top or classic.userdb_path(), tuple(dict.fromkeys(kinds)))
    return 0


app = classic.application("makeuserdb", command, "Make userdb.dat from a userdb.", _USAGE)


def main() -> int:
    """Run as a command of its own."""
    return classic.run_command("makeuserdb", command, sys.argv[1:])

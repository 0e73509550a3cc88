"""`authenumerate [-s] [-o]`: every account as Courier's authenumerate prints it.

A line is name, uid, gid, home and maildir, with -o the options (defaults merged in), separated by
tabs. -s leaves out the accounts with disableshared. Exit code 1 where a module failed: the list
is not whole then.
"""

import sys
from collections.abc import Sequence
from typing import Final

from restante.cli.admin import connect
from restante.cli.classic import application, run_command
from restante.cli.output import plain

NAME: Final = "authenumerate"


def authenumerate(words: Sequence[str]) -> int:
    """Do what the words say; return the exit code."""
    if any(word not in ("-s", "-o") for word in words):
        sys.stderr.write("Usage: authenumerate [-s] [-o]\n")
        return 1
    shared, options = "-s" in words, "-o" in words
    with connect() as client:
        for account in client.enumerate():
            if shared and account.options.enabled("disableshared"):
                continue
            fields = [
                account.address,
                str(account.uid),
                str(account.gid),
                str(account.home),
                str(account.maildir),
            ]
            if options:
                fields.append(str(account.options))
            sys.stdout.write("\t".join(map(plain, fields)) + "\n")
    return 0


app = application(NAME, authenumerate, "List every account, as Courier's authenumerate.")


def main() -> int:
    """Run as the program `authenumerate`."""
    return run_command(NAME, authenumerate, sys.argv[1:])

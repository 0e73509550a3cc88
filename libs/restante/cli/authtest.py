"""`authtest [-s service] user [password [newpassword]]`: Courier's words and exit codes.

It asks the running auth service through the Admin API, so whoever calls it needs the admin token
(root, or the system's user). A password on the command line can be seen by other users of the
machine: `restante auth test` asks for it.
"""

import sys
from collections.abc import Sequence
from typing import Final

from restante.cli.admin import connect
from restante.cli.classic import application, run_command
from restante.cli.output import plain
from restante.model import Account, ErrorKind, MailError, Options
from restante.rpc.admin_reports import LoginTest

NAME: Final = "authtest"
_USAGE: Final = "Usage: authtest [-s service] userid [ password [ newpassword ] ]\n"
_FAILED: Final = "Authentication FAILED: "

# Courier prints strerror(errno): EPERM for a refusal, EIO for a temporary failure, EINVAL without
# an authdaemond.
_REASONS: Final = {
    ErrorKind.TEMPORARY.value: "Input/output error",
    ErrorKind.INTERNAL.value: "Input/output error",
}
_REFUSED: Final = "Operation not permitted"
_NOBODY: Final = "Invalid argument"

# An account that is disabled is found, for its mail is still delivered.
_DISABLED: Final = Options.parse("disableimap=1,disablepop3=1,disablewebmail=1")


def authtest(words: Sequence[str]) -> int:
    """Do what the words say; return the exit code."""
    rest, service = list(words), "login"
    if rest[:1] == ["-s"] and len(rest) > 1:
        service, rest = rest[1], rest[2:]
    if not rest or rest[0].startswith("-") or len(rest) > 3:
        sys.stderr.write(_USAGE)
        return 1
    user, password, new = (*rest, "", "")[:3]
    try:
        with connect() as client:
            result = client.test_login(
                user, password, service=service, new_password=new, show_hash=True
            )
    except MailError as error:
        sys.stderr.write(f"ERR: {plain(error.text)}\n")
        sys.stderr.write(f"{_FAILED}{_NOBODY}\n")
        return 1
    if result.outcome != "ok":
        sys.stderr.write(shown(result))
        return 1
    text = "Password change succeeded.\n" if new else shown(result, typed=password)
    sys.stdout.write(text)
    return 0


def shown(result: LoginTest, *, typed: str = "", hidden_hash: bool = False) -> str:
    """Return the text that Courier's authtest prints. `typed` is shown as the clear password."""
    account = result.account
    if result.outcome != "ok" or account is None:
        return f"{_FAILED}{_reason(result)}\n"
    stored = result.password_hash or ("(hidden: --show-hash)" if hidden_hash else "(none)")
    facts = (
        ("Authenticated", f"{account.address}  (uid {account.uid}, gid {account.gid})"),
        ("Home Directory", str(account.home)),
        ("Maildir", str(account.maildir)),
        ("Quota", str(account.quota) or "(none)"),
        ("Encrypted Password", stored),
        ("Cleartext Password", typed or result.clear_password or "(none)"),
        ("Options", options_of(account) or "(none)"),
    )
    lines = "".join(f"{name:>18}: {plain(value)}\n" for name, value in facts)
    return f"Authentication succeeded.\n\n{lines}"


def options_of(account: Account) -> str:
    """Return the options, defaults merged in, as our authdaemond door sends them."""
    if account.disabled:
        return str(_DISABLED.merged(account.options))
    return str(account.options)


def _reason(result: LoginTest) -> str:
    reason = _REASONS.get(result.outcome, _REFUSED)
    if result.outcome == ErrorKind.AUTH_FAILED.value or not result.text:
        return reason
    return f"{reason} ({plain(result.text)})"


app = application(NAME, authtest, "Try a login, as Courier's authtest.")


def main() -> int:
    """Run as the program `authtest`."""
    return run_command(NAME, authtest, sys.argv[1:])

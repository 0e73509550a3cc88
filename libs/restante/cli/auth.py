"""`restante auth test`: one login, or look-up, through the auth service, step by step.

Prints what Courier's authtest prints, and with --trace who was asked, what each answered and how
long it took. Exit codes: 0 succeeded, 1 refused (as Courier's), else those of all commands.
"""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from restante.cli import output
from restante.cli.admin import admin
from restante.cli.authtest import shown
from restante.cli.output import JsonFlag
from restante.model import Account
from restante.rpc.admin_reports import LoginTest

app = typer.Typer(
    no_args_is_help=True, help="Try logins through the auth service.", epilog=output.EPILOG
)


@app.callback()
def _group() -> None:
    """Try logins through the auth service."""


@app.command("test")
def try_login(
    user: Annotated[str, typer.Argument(metavar="USER", show_default=False)],
    *,
    service: Annotated[
        str, typer.Option("--service", "-s", help="imap, pop3, webmail, smtp...")
    ] = "login",
    mechanism: Annotated[str, typer.Option(help="plain or login.")] = "plain",
    peer: Annotated[str, typer.Option(help="IP address that the client would come from.")] = "",
    lookup: Annotated[
        bool, typer.Option("--lookup", help="Only find the account, without a password.")
    ] = False,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    trace: Annotated[bool, typer.Option("--trace", help="Show every step.")] = False,
    show_hash: Annotated[
        bool, typer.Option("--show-hash", help="Show the stored hash (superadmins).")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Try to log in as USER; asks for the password. Nothing is changed."""
    if lookup and password_stdin:
        output.fail("--lookup needs no password", output.USAGE)
    password = "" if lookup else output.ask_secret(user, from_stdin=password_stdin)
    with admin() as client:
        result = client.test_login(
            user,
            password,
            service=service,
            mechanism=mechanism,
            peer=peer,
            show_hash=show_hash,
        )
    if json:
        output.print_json(_json(result))
    else:
        if trace:
            _show_steps(result)
        text = shown(result, hidden_hash=not show_hash)
        typer.echo(text, nl=False, err=result.outcome != "ok")
    if result.outcome != "ok":
        raise typer.Exit(output.FAILED)


def _show_steps(result: LoginTest) -> None:
    rows = [
        {
            "who": step.who,
            "answer": step.answer,
            "detail": step.detail,
            "ms": f"{step.seconds * 1000:.2f}",
        }
        for step in result.steps
    ]
    output.rows(rows, ("who", "answer", "ms", "detail"), as_json=False, empty="no steps")
    typer.echo("")


def _json(result: LoginTest) -> dict[str, Any]:
    found = asdict(result)
    found["account"] = _account(result.account) if result.account else None
    return found


def _account(account: Account) -> dict[str, Any]:
    return {
        "address": account.address,
        "uid": account.uid,
        "gid": account.gid,
        "home": account.home,
        "maildir": account.maildir,
        "name": account.name,
        "quota": str(account.quota),
        "options": str(account.options),
        "disabled": account.disabled,
        "read_only": account.read_only,
    }

"""`restante account`: accounts of the SQL module, through the auth service's Admin API."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from restante.cli import apply as applying
from restante.cli import importing, output, times
from restante.cli.admin import admin
from restante.cli.output import DryRunFlag, JsonFlag, YesFlag
from restante.rpc.admin_client import AccountInfo

app = typer.Typer(
    no_args_is_help=True,
    help="Manage mail accounts.",
    epilog=output.EPILOG,
)
app.command("apply")(applying.apply)
app.command("export")(applying.export)
app.command("import")(importing.import_)

Address = Annotated[str, typer.Argument(metavar="USER@DOMAIN", show_default=False)]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]
HashStdin = Annotated[
    bool, typer.Option("--hash-stdin", help="Read a password hash from standard input.")
]
Name = Annotated[str | None, typer.Option(help="Full name.")]
Quota = Annotated[
    str | None,
    typer.Option(help='"10000000S,1000C" (bytes, messages), "0S" unlimited, "" as the domain.'),
]
Options = Annotated[
    str | None, typer.Option(help='Courier\'s account options: "disableimap=1,group=staff".')
]
Uid = Annotated[int | None, typer.Option(min=1, help="Owner of the mail; a server's setting else.")]
Gid = Annotated[int | None, typer.Option(min=1, help="Group of the mail; a server's setting else.")]


@app.command()
def add(
    address: Address,
    *,
    password_stdin: PasswordStdin = False,
    hash_stdin: HashStdin = False,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="Nobody can log in until one is set.")
    ] = False,
    name: Name = None,
    quota: Quota = None,
    options: Options = None,
    uid: Uid = None,
    gid: Gid = None,
    disabled: Annotated[bool, typer.Option("--disabled", help="Start disabled.")] = False,
    json: JsonFlag = False,
) -> None:
    """Add an account; asks for its password."""
    password, stored = _secret(address, password_stdin, hash_stdin, no_password)
    with admin() as client:
        made = client.create_account(
            address,
            password or None,
            password_hash=stored,
            uid=uid or 0,
            gid=gid or 0,
            name=name or "",
            quota=quota or "",
            options=options or "",
            disabled=disabled,
        )
    output.done(f"added account {made.address}", as_json=json, value=asdict(made))


@app.command("list")
def list_(
    domain: Annotated[str, typer.Argument(metavar="[DOMAIN]", show_default=False)] = "",
    json: JsonFlag = False,
) -> None:
    """List the accounts of a domain, or all."""
    with admin() as client:
        found = [asdict(account) for account in client.accounts(domain)]
    columns = ("address", "name", "quota", "options", "disabled")
    output.rows(found, columns, as_json=json, empty="no accounts yet: restante account add")


@app.command()
def show(address: Address, json: JsonFlag = False) -> None:
    """Show an account."""
    with admin() as client:
        found = client.get_account(address)
    output.facts(asdict(found) if json else _shown(found), as_json=json)


@app.command()
def passwd(
    address: Address,
    password_stdin: PasswordStdin = False,
    hash_stdin: HashStdin = False,
    clear: Annotated[bool, typer.Option("--clear", help="Remove it: no password fits.")] = False,
    json: JsonFlag = False,
) -> None:
    """Set an account's password; asks for it."""
    with admin() as client:
        if not (password_stdin or hash_stdin or clear):
            client.get_account(address)  # before anybody types a password for nobody
        password, stored = _secret(address, password_stdin, hash_stdin, clear)
        if password:
            changed = client.set_password(address, password)
        else:
            changed = client.set_password_hash(address, stored)
    output.done(
        f"{'removed' if clear else 'set'} the password of {address}",
        as_json=json,
        value={"address": address, "changed": changed},
    )


@app.command()
def disable(address: Address, json: JsonFlag = False) -> None:
    """Let nobody log in to an account; mail is still accepted for it."""
    with admin() as client:
        changed = client.update_account(address, disabled=True)
    output.done(f"disabled {address}", as_json=json, value=asdict(changed))


@app.command()
def enable(address: Address, json: JsonFlag = False) -> None:
    """Undo disable."""
    with admin() as client:
        changed = client.update_account(address, disabled=False)
    output.done(f"enabled {address}", as_json=json, value=asdict(changed))


@app.command()
def update(
    address: Address,
    *,
    name: Name = None,
    quota: Quota = None,
    options: Options = None,
    uid: Uid = None,
    gid: Gid = None,
    json: JsonFlag = False,
) -> None:
    """Change an account."""
    given: dict[str, Any] = {
        "name": name,
        "quota": quota,
        "options": options,
        "uid": uid,
        "gid": gid,
    }
    fields = {key: value for key, value in given.items() if value is not None}
    if not fields:
        output.fail(
            "nothing to change: give --name, --quota, --options, --uid or --gid", output.USAGE
        )
    with admin() as client:
        changed = client.update_account(address, **fields)
    output.done(f"changed account {changed.address}", as_json=json, value=asdict(changed))


@app.command()
def remove(
    address: Address,
    purge_mail: Annotated[
        bool, typer.Option("--purge-mail", help="Also remove the account's mail from disk.")
    ] = False,
    dry_run: DryRunFlag = False,
    yes: YesFlag = False,
    json: JsonFlag = False,
) -> None:
    """Remove an account. Its mail stays on disk unless --purge-mail is given."""
    with admin() as client:
        plan = client.delete_account(address, purge_mail=purge_mail, dry_run=True)
        if not plan.home_exists:
            mail = f"there is no mail at {plan.home}"
        elif purge_mail:
            mail = f"its mail at {plan.home} would be removed for ever"
        else:
            mail = f"its mail stays at {plan.home}"
        if dry_run:
            text = f"would remove account {address}; {mail}"
            output.done(text, as_json=json, value={"address": address, **asdict(plan)})
            return
        question = f"Remove account {address}? {mail[0].upper()}{mail[1:]}."
        output.confirm(question, yes=yes, needed_in_scripts=purge_mail)
        made = client.delete_account(address, purge_mail=purge_mail)
    if made.purged:
        mail = f"its mail at {made.home} is gone"
    text = f"removed account {address}; {mail}"
    output.done(text, as_json=json, value={"address": address, **asdict(made)})


def _secret(address: str, password_stdin: bool, hash_stdin: bool, none: bool) -> tuple[str, str]:
    """Return (password, hash), at most one of them set."""
    if password_stdin + hash_stdin + none > 1:
        output.fail("only one of the ways to give a password can be chosen", output.USAGE)
    if none:
        return "", ""
    if hash_stdin:
        return "", output.read_secret(address, from_stdin=True, what="hash")
    return output.read_secret(address, from_stdin=password_stdin), ""


def _shown(found: AccountInfo) -> dict[str, Any]:
    """Return an account for people: times as dates, "password" as its scheme."""
    shown: dict[str, Any] = asdict(found)
    scheme, has_password = shown.pop("password_scheme"), shown.pop("has_password")
    shown["password"] = (scheme or "unknown scheme") if has_password else "none"
    for key in ("created", "updated"):
        shown[key] = times.shown(shown.pop(key))
    return shown

"""`restante security`: second factors and app passwords, through the auth service's Admin API."""

from dataclasses import asdict
from typing import Annotated

import typer

from restante.cli import output
from restante.cli.account import Address
from restante.cli.admin import admin
from restante.cli.output import JsonFlag, YesFlag
from restante.cli.times import shown
from restante.rpc.admin_values import SecurityInfo

app = typer.Typer(
    no_args_is_help=True,
    help="See and take away second factors and app passwords.",
    epilog=output.EPILOG,
)

_COLUMNS = ("kind", "id", "name", "good_for", "last_used", "last_peer")


@app.command()
def show(address: Address, json: JsonFlag = False) -> None:
    """Show what an account of any module has beside its password."""
    with admin() as client:
        found = client.security(address)
    if json:
        output.print_json(asdict(found))
        return
    output.rows(_rows(found), _COLUMNS, as_json=False, empty="only the password")


@app.command()
def reset(address: Address, yes: YesFlag = False, json: JsonFlag = False) -> None:
    """Take one-time codes, passkeys and recovery codes away from somebody who lost them."""
    output.confirm(f"Let {address} log in by the password alone?", yes=yes, needed_in_scripts=False)
    with admin() as client:
        client.reset_second_factor(address)
    value = {"address": address, "reset": True}
    output.done(f"{address} has no second factor any more", as_json=json, value=value)


@app.command("remove-app-password")
def remove_app_password(
    address: Address,
    app_password: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    json: JsonFlag = False,
) -> None:
    """Withdraw an app password."""
    with admin() as client:
        client.delete_app_password(address, app_password)
    text = f"withdrew app password {app_password} of {address}"
    value = {"address": address, "id": app_password, "removed": True}
    output.done(text, as_json=json, value=value)


def _rows(found: SecurityInfo) -> list[dict[str, str]]:
    rows = []
    if found.totp:
        rows.append(_row("one-time codes"))
    rows += [
        _row("passkey", id=key.id, name=key.name, last_used=shown(key.last_used))
        for key in found.passkeys
    ]
    if found.recovery_codes:
        rows.append(_row("recovery codes", name=f"{found.recovery_codes} left"))
    for one in found.app_passwords:
        limits = [" ".join(one.services), "read-only" if one.read_only else ""]
        limits += [" ".join(one.networks), f"until {shown(one.expires)}" if one.expires else ""]
        rows.append(
            _row(
                "app password",
                id=one.id,
                name=one.name,
                good_for=", ".join(filter(None, limits)),
                last_used=shown(one.last_used),
                last_peer=one.last_peer,
            )
        )
    return rows


def _row(kind: str, **fields: str) -> dict[str, str]:
    return {**dict.fromkeys(_COLUMNS, ""), "kind": kind, **fields}

"""`restante master`: accounts that may log in as others, through the auth service's Admin API."""

from dataclasses import asdict
from typing import Annotated

import typer

from restante.cli import output
from restante.cli.account import Address
from restante.cli.admin import admin
from restante.cli.output import JsonFlag
from restante.cli.times import shown

app = typer.Typer(
    no_args_is_help=True,
    help='Manage master users, who log in as "user*master".',
    epilog=output.EPILOG,
)


@app.command()
def add(
    address: Address,
    domain: Annotated[
        list[str] | None,
        typer.Option(help="Only accounts of this domain; may be repeated."),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Let an account of any module log in as others, of some domains or of all."""
    with admin() as client:
        made = client.create_master(address, domain or ())
    whose = ", ".join(made.domains) or "all domains"
    output.done(f"{made.address} is master of {whose}", as_json=json, value=asdict(made))


@app.command("list")
def list_(json: JsonFlag = False) -> None:
    """List master users."""
    with admin() as client:
        found = client.masters()
    rows = [
        asdict(master)
        if json
        else {
            "address": master.address,
            "domains": " ".join(master.domains),
            "created": shown(master.created),
        }
        for master in found
    ]
    output.rows(rows, ("address", "domains", "created"), as_json=json, empty="no masters")


@app.command()
def remove(address: Address, json: JsonFlag = False) -> None:
    """Make a master an account like any other; what it holds open as others ends."""
    with admin() as client:
        client.delete_master(address)
    value = {"address": address, "removed": True}
    output.done(f"{address} is no master any more", as_json=json, value=value)

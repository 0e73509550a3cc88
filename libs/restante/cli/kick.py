"""`restante kick`: end an account's sessions, through the auth service's Admin API."""

import typer

from restante.cli import output
from restante.cli.account import Address
from restante.cli.admin import admin
from restante.cli.output import JsonFlag

app = typer.Typer(add_completion=False)


@app.command(epilog=output.EPILOG)
def kick(address: Address, json: JsonFlag = False) -> None:
    """End an account's sessions everywhere; it may log in again at once."""
    with admin() as client:
        before = client.sessions(address)
        client.kick(address)
    count = len(before.sessions)
    output.done(
        f"ended the sessions of {address}: {count}",
        as_json=json,
        value={"address": address, "sessions": count, "silent_workers": before.silent},
    )

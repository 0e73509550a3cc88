"""`restante kick`: end an account's sessions, through the auth service's Admin API."""

import typer

from restante.cli import output
from restante.cli.account import Address
from restante.cli.admin import admin

app = typer.Typer(add_completion=False)


@app.command(epilog=output.EPILOG)
def kick(address: Address) -> None:
    """End an account's sessions everywhere; it may log in again at once."""
    with admin() as client:
        client.kick(address)
    output.done(f"ended the sessions of {address}")

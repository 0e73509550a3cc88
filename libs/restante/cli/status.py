"""`restante status`: what runs, where, and whether it is healthy.

Exit codes: 0 all services are ready, 1 some are not, 5 none runs.
"""

import typer

from restante.cli import output
from restante.cli.endpoints import SERVICES, endpoints, health
from restante.runtime import environment

app = typer.Typer()

_COLUMNS = ("service", "status", "pid", "workers", "addresses", "health")


@app.command()
def status(as_json: output.JsonFlag = False) -> None:
    """Show the running system's services, addresses and health."""
    run_dir = environment.run_dir()
    found = endpoints(run_dir)
    states = [health(run_dir, name) for name in SERVICES]
    rows: list[dict[str, object]] = []
    for state in states:
        addresses = {e.name: str(e.address) for e in found if e.service == state.service}
        rows.append(
            {
                "service": state.service,
                "ready": state.ready,
                "status": state.text,
                "pid": state.pid,
                "workers": state.workers,
                "addresses": addresses
                if as_json
                else " ".join(f"{name}={address}" for name, address in addresses.items()),
                "health": state.health_address,
            }
        )
    output.rows(rows, _COLUMNS, as_json=as_json, empty="")
    if not any(state.pid for state in states):
        if not as_json:
            typer.echo(f"restante: nothing runs on {environment.data_dir()}", err=True)
        raise typer.Exit(output.UNAVAILABLE)
    if not all(state.ready for state in states):
        raise typer.Exit(output.FAILED)

"""`restante volume init`: marks a directory as the mail volume."""

from pathlib import Path
from typing import Annotated

import typer

from restante.runtime import environment

app = typer.Typer(no_args_is_help=True, help="Prepare the mail volume.")


@app.callback()
def _group() -> None:
    """Prepare the mail volume."""


@app.command()
def init(
    path: Annotated[Path | None, typer.Argument(help="By default RESTANTE_MAIL_ROOT.")] = None,
) -> None:
    """Mark a mounted directory as the mail volume; harmless where it is one already.

    Services take no mail where the mark is missing, so that an unmounted volume is noticed.
    """
    from restante.store.volume import create_volume  # noqa: PLC0415 - after the arguments are right

    root = (path or environment.mail_root()).absolute()
    try:
        create_volume(root)
    except OSError as error:
        typer.echo(f"restante: cannot prepare {root}: {error.strerror}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{root} is a mail volume")

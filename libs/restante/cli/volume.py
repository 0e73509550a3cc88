"""`restante volume init`: marks a directory as the mail volume."""

from pathlib import Path
from typing import Annotated

import typer

from restante.cli import output
from restante.runtime import environment

app = typer.Typer(no_args_is_help=True, help="Prepare the mail volume.")


@app.callback()
def _group() -> None:
    """Prepare the mail volume."""


@app.command()
def init(
    path: Annotated[Path | None, typer.Argument(help="By default RESTANTE_MAIL_ROOT.")] = None,
    json: output.JsonFlag = False,
) -> None:
    """Mark a mounted directory as the mail volume; harmless where it is one already.

    Services take no mail where the mark is missing, so that an unmounted volume is noticed.
    """
    from restante.store.volume import create_volume  # noqa: PLC0415 - after the arguments are right

    root = (path or environment.mail_root()).absolute()
    try:
        create_volume(root)
    except OSError as error:
        output.fail(f"cannot prepare {root}: {error.strerror}")
    output.done(f"{root} is a mail volume", as_json=json, value={"path": root})

"""`restante mail`: what is done with the mail itself, on the mail volume.

These commands run where the mail volume is mounted, as the services' own user or as root, and ask
auth whose mail is where; they need no admin token.
"""

import typer

from restante.cli import output
from restante.cli.mail.backing_up import backup, backups
from restante.cli.mail.checking import restored, verify
from restante.cli.mail.restoring import restore

app = typer.Typer(
    no_args_is_help=True, help="Back up, restore and check mail.", epilog=output.EPILOG
)
app.command("backup")(backup)
app.command("backups")(backups)
app.command("restore")(restore)
app.command("verify")(verify)
app.command("restored")(restored)

"""The IMAP service's process."""

from restante.runtime.service import run_service
from restante.runtime.settings import load
from services.imap.service import ImapService
from services.imap.settings import ImapSettings


def main() -> int:
    """Run until told to end; return the exit code."""
    return run_service("imap", load(ImapSettings), ImapService)

"""The POP3 service's process."""

from restante.runtime.service import run_service
from restante.runtime.settings import load
from services.pop3.login_delay import LoginTimes
from services.pop3.service import Pop3Service
from services.pop3.settings import Pop3Settings


def main() -> int:
    """Run until told to end; return the exit code."""
    settings = load(Pop3Settings)
    times = LoginTimes(settings.login_delay)  # before the fork: all workers share it
    return run_service("pop3", settings, lambda context: Pop3Service(context, times))

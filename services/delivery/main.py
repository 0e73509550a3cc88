"""The delivery service's process."""

import sys

from restante.model import MailError
from restante.runtime.service import run_service
from restante.runtime.settings import load
from services.delivery.service import DeliveryService
from services.delivery.settings import DeliverySettings
from services.delivery.token import http_token


def main() -> int:
    """Run until told to end; return the exit code."""
    settings = load(DeliverySettings)
    try:
        token = http_token(settings)  # before the fork: all workers agree on it
    except MailError as fault:
        sys.stderr.write(f"restante: delivery: {fault.text}\n")
        return 1
    return run_service("delivery", settings, lambda context: DeliveryService(context, token))

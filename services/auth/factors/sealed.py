"""Does the service secret open what it sealed? A restored database needs the secret of its time.

Reads only: no table is made, and no secret. Used by `restante doctor`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from restante.model import MailError
from services.auth.database import drivers
from services.auth.database.schema import totp
from services.auth.factors.sealing import Sealer
from services.auth.secret import service_secret
from services.auth.settings import AuthSettings

_LOOKED_AT: Final = 1000  # secrets; one that opens shows that the service secret is right


@dataclass(frozen=True, slots=True)
class Sealed:
    """What was found. `fault`: why nothing could be."""

    opened: int = 0
    shut: int = 0
    secret: bool = True  # there is a service secret
    fault: str = ""


def look_at_sealed(settings: AuthSettings) -> Sealed:
    """Try to open sealed second factors. BLOCKING; faults are told in the result."""
    secret = settings.secret is not None or (settings.data / "auth" / "secret").exists()
    try:
        url = drivers.database_url(settings.sql_url)
        if drivers.is_sqlite(url) and not Path(url.database or "").exists():
            return Sealed(secret=secret)
        engine = drivers.patient_engine(url, settings.sql_limits())
        try:
            with engine.connect() as connection:
                query = select(totp.c.address, totp.c.secret).limit(_LOOKED_AT)
                rows = [
                    (str(address), str(sealed)) for address, sealed in connection.execute(query)
                ]
        finally:
            engine.dispose()
        if not secret:
            return Sealed(shut=len(rows), secret=False)
        sealer = Sealer(service_secret(settings), "totp")
    except (SQLAlchemyError, OSError) as error:
        return Sealed(secret=secret, fault=type(error).__name__)
    except MailError as error:
        return Sealed(secret=secret, fault=error.text)
    opened = sum(_opens(sealer, sealed, address) for address, sealed in rows)
    return Sealed(opened, len(rows) - opened)


def _opens(sealer: Sealer, sealed: str, address: str) -> bool:
    try:
        sealer.open(sealed, address)
    except MailError:
        return False
    return True

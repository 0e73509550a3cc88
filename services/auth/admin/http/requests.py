"""What routes share: how they ask the desk, and the parameters of pages."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Query, Request

from restante.model import ErrorKind, MailError
from services.auth.admin.desk import Desk
from services.auth.admin.http.entrance import CREDENTIALS
from services.auth.admin.tools import MAX_PAGE, Operation

Size = Annotated[int, Query(ge=0, le=MAX_PAGE, description="Of a page; 0 is the server's default.")]
Token = Annotated[str, Query(description="next_page_token of the page before.")]


class Ask:
    """Hands a message of Admin to the desk, for whoever sent the request."""

    def __init__(self, desk: Desk, operations: Mapping[str, Operation]) -> None:
        self._desk, self._operations = desk, operations

    async def __call__(self, request: Request, method: str, message: object) -> Any:
        """Return the answer's message. Raises MailError."""
        run = self._operations.get(method)
        if run is None:
            raise MailError(ErrorKind.CANNOT, "this is not offered here")
        return await self._desk.perform(method, request.scope[CREDENTIALS], message, run)

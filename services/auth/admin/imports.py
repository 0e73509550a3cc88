"""Many accounts in one call, as they were elsewhere (services.auth.importing)."""

from restante.model import ErrorKind, MailError
from restante.rpc.admin.v1 import admin_pb2 as pb
from services.auth import importing
from services.auth.admin.roles import Caller
from services.auth.admin.tools import Operation, Tools
from services.auth.importing import Candidate, Result
from services.auth.passwords import schemes


class Imports:
    """The operation."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def __call__(
        self, caller: Caller, request: pb.ImportAccountsRequest
    ) -> pb.ImportAccountsResponse:
        """Add, or change, what can be, in one transaction."""
        self._tools.need_accounts()
        if len(request.accounts) > importing.MOST:
            text = f"at most {importing.MOST} accounts at once"
            raise MailError(ErrorKind.BAD_REQUEST, text)
        results: list[Result | None] = []
        candidates = []
        for given in request.accounts:
            try:
                candidates.append(self._candidate(given))
                results.append(None)
            except MailError as error:
                results.append(Result(importing.REFUSED, error.text))
        done = iter(await self._import(candidates, request))
        whole = [result or next(done) for result in results]
        if not request.dry_run:
            self._record(caller, request, whole)
        return pb.ImportAccountsResponse(
            results=[
                pb.ImportAccountsResponse.Result(outcome=result.outcome, text=result.text)
                for result in whole
            ]
        )

    async def _import(
        self, candidates: list[Candidate], request: pb.ImportAccountsRequest
    ) -> list[Result]:
        root = self._tools.accounts.mail_root
        try:
            return await self._tools.database.run(
                lambda c: importing.import_accounts(
                    c,
                    candidates,
                    root,
                    create_domains=request.create_domains,
                    update_existing=request.update,
                    dry_run=request.dry_run,
                ),
                write=True,
            )
        except importing.DryRun as dry:
            return dry.results

    def _candidate(self, given: pb.ImportAccount) -> Candidate:
        account, stored = given.account, given.password_hash
        # "!" and "*" are how shadow files say that no password fits.
        if stored and not (schemes.scheme_of(stored) or stored[0] in "!*"):
            raise MailError(ErrorKind.BAD_REQUEST, "a hash of an unknown scheme")
        return Candidate(
            self._tools.rules.parse(account.address),
            account.uid or self._tools.uid,
            account.gid or self._tools.gid,
            home=account.home,
            maildir=account.maildir,
            name=account.name,
            quota=account.quota,
            options=account.options,
            password=stored,
            disabled=account.disabled,
        )

    def _record(
        self, caller: Caller, request: pb.ImportAccountsRequest, results: list[Result]
    ) -> None:
        """One audit record for each account that was changed, beside the one of the call."""
        for given, result in zip(request.accounts, results, strict=True):
            if result.outcome in (importing.CREATED, importing.UPDATED):
                self._tools.audit.record(
                    action="admin.account.import",
                    actor=caller.name,
                    address=self._tools.rules.parse(given.account.address).address,
                    detail=result.outcome,
                )


def operations(tools: Tools) -> dict[str, Operation]:
    """Return the operations by their methods."""
    return {"ImportAccounts": Imports(tools)}

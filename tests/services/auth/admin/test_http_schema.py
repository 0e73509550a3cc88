"""The HTTP door keeps what its OpenAPI document says, whatever is sent (schemathesis)."""

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from restante.rpc.admin_client import AdminClient, read_token
from tests.services.auth.process import auth_process


def _operation(result: Any) -> Any:
    return result.ok()


@pytest.mark.slow
def test_answers_are_those_of_the_document(data: Path) -> None:
    with auth_process(data, RESTANTE_AUTH_HTTP_LISTEN="127.0.0.1:0") as auth:
        token = read_token(data / "run", {})
        with AdminClient(auth.target, token) as client:
            client.create_domain("example.org")
            client.create_account("fred@example.org", "secret")
        schema = schemathesis.openapi.from_url(
            f"http://{auth.endpoints['http_listen']}/openapi.json"
        )
        operations = list(map(_operation, schema.get_all_operations()))
        assert len(operations) == 25
        for operation in operations:

            @given(case=operation.as_strategy())
            @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
            def check(case: Any) -> None:
                case.call_and_validate(
                    headers={"Authorization": f"Bearer {token}"},
                    # The grammar of addresses, quotas and options cannot be said in a schema.
                    excluded_checks=[positive_data_acceptance],
                )

            check()
        assert "Traceback" not in auth.log()
        assert " error " not in auth.log()

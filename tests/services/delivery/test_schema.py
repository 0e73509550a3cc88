"""The HTTP hook keeps what its OpenAPI document says, whatever is sent (schemathesis)."""

from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.support import System


@schemathesis.serializer("message/rfc822")
def message(ctx: schemathesis.SerializationContext, value: Any) -> Any:
    """The body is bytes as they are."""
    return bytes(value) if isinstance(value, bytes | bytearray) else str(value).encode()


def _operation(result: Any) -> Any:
    return result.ok()


def test_answers_are_those_of_the_document(tmp_path: Path) -> None:
    with System(tmp_path, ("delivery",)) as system:
        system.add_account("fred@example.test", "secret1")
        host, port = system.address("delivery", "http_listen")
        token = (system.data / "run" / "delivery.token").read_text().strip()
        schema = schemathesis.openapi.from_url(f"http://{host}:{port}/openapi.json")
        operations = list(map(_operation, schema.get_all_operations()))
        assert len(operations) == 3
        for operation in operations:

            @given(case=operation.as_strategy())
            @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
            def check(case: Any) -> None:
                case.call_and_validate(
                    headers={"Authorization": f"Bearer {token}"},
                    # The grammar of an address cannot be said in a schema.
                    excluded_checks=[positive_data_acceptance],
                )

            check()
        assert "Traceback" not in system["delivery"].log()

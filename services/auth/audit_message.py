"""An entry of the audit table as operators and owners get it over gRPC."""

from google.protobuf.timestamp_pb2 import Timestamp

from restante.rpc.admin.v1 import admin_pb2
from services.auth.audit_table import Entry


def entry_to_message(entry: Entry) -> admin_pb2.AuditEntry:
    """Return the message of an entry; the table keeps whole seconds."""
    return admin_pb2.AuditEntry(
        id=entry.id,
        time=Timestamp(seconds=int(entry.time)),
        action=entry.action,
        actor=entry.actor,
        address=entry.address,
        service=entry.service,
        peer=entry.peer,
        result=entry.result,
        detail=entry.detail,
    )

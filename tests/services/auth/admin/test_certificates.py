"""A client certificate that the settings name is a superadmin; a good token goes before it."""

from pathlib import Path

from grpc import aio, ssl_channel_credentials

from restante.rpc.admin.v1 import admin_pb2 as pb
from restante.rpc.admin.v1 import admin_pb2_grpc
from restante.runtime.settings import ListenAddress
from tests.services.auth.admin.calls import Admin
from tests.services.auth.conftest import make_settings, serving
from tests.services.auth.test_tls import Authority


async def test_who_a_call_with_both_is(data: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    certificate, key = authority.issue("server")
    settings = make_settings(
        data,
        tcp_listen=ListenAddress("127.0.0.1", 0),
        grpc_certificate=certificate,
        grpc_key=key,
        grpc_client_ca=authority.file,
        admin_certificates=("operator",),
    )
    client, client_key = authority.issue("operator")
    credentials = ssl_channel_credentials(
        authority.file.read_bytes(), client_key.read_bytes(), client.read_bytes()
    )
    async with serving(settings) as server:
        admin = Admin(server)
        reader = await admin.token(pb.ROLE_READ_ONLY, name="reader")
        async with aio.secure_channel(f"127.0.0.1:{server.tcp_port}", credentials) as channel:
            stub = admin_pb2_grpc.AdminStub(channel)
            for number, (token, actor, result) in enumerate(
                (
                    ("", "certificate operator", "ok"),
                    ("wrong", "certificate operator", "ok"),
                    (reader, "token reader", "permission"),
                )
            ):
                domain = pb.Domain(name=f"d{number}.test")
                try:
                    await stub.CreateDomain(
                        pb.CreateDomainRequest(domain=domain),
                        metadata=(("authorization", f"Bearer {token}"),),
                    )
                except aio.AioRpcError:
                    assert result == "permission"
                entries = (await admin("ListAudit", pb.ListAuditRequest(page_size=1))).entries
                found = [(entry.actor, entry.result, entry.peer) for entry in entries]
                assert found == [(actor, result, "127.0.0.1")]
        await admin.close()

"""Component redis-ha, run by a Docker engine: one address, whichever node is the primary."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from restante.model import INBOX
from restante.store.hints_redis import RedisHints
from tests.k8s.engine import Cluster, docker, missing, until
from tests.k8s.rendering import needs_kustomize, objects

pytestmark = [
    needs_kustomize,
    pytest.mark.e2e,
    pytest.mark.skipif(bool(missing()), reason=missing()),
]


@pytest.fixture
def cluster(secret_files: Path, tmp_path: Path) -> Iterator[Cluster]:
    for name in ("restante-secrets", "restante-tls", "restante-rpc"):
        (tmp_path / name).symlink_to(secret_files / name)
    with Cluster(objects("overlays/isp"), tmp_path) as made:
        yield made


def role(client: "redis.Redis") -> str:
    """Return what the node behind the balancer is; "" where none answers."""
    with contextlib.suppress(redis.RedisError, OSError):
        return str(client.info("replication")["role"])
    return ""


async def test_clients_follow_the_primary_without_knowing_it(
    cluster: Cluster, secret_files: Path, tmp_path: Path
) -> None:
    nodes = [cluster.run("StatefulSet", "redis-node", ordinal=n) for n in range(3)]
    balancer = cluster.run("Deployment", "redis")
    url = (secret_files / "restante-secrets" / "redis.url").read_text().strip()
    url = url.replace("@redis:", f"@{cluster.address(balancer)}:")
    client = redis.Redis.from_url(url, socket_timeout=5)
    until(lambda: role(client) == "master", lambda: cluster.logs(balancer))
    until(
        lambda: client.info("replication")["connected_slaves"] == 2,
        lambda: "the two others do not follow",
    )
    until(lambda: sentinels(nodes[0]) == 2, lambda: "sentinels do not know each other")
    client.set("kept", "yes")
    until(lambda: client.wait(2, 1000) == 2, lambda: "the two others have not got it")

    docker("rm", "-f", "-v", nodes[0], f"{nodes[0]}-sentinel")
    cluster.containers.remove(nodes[0])
    cluster.containers.remove(f"{nodes[0]}-sentinel")
    until(lambda: role(client) == "master", lambda: f"no new primary: {cluster.logs(balancer)}")
    assert client.get("kept") == b"yes"

    again = cluster.run("StatefulSet", "redis-node", ordinal=0)
    until(
        lambda: "slave" in command(again, "role").split()[0],
        lambda: f"what comes back does not follow: {cluster.logs(again)}",
    )
    assert role(client) == "master"
    assert client.get("kept") == b"yes"
    await hints_pass(url, tmp_path)


async def hints_pass(url: str, tmp_path: Path) -> None:
    """Hear a hint through the balancer, as the services do."""
    import asyncio

    heard = asyncio.Event()
    one, other = RedisHints(url, tmp_path), RedisHints(url, tmp_path)
    try:
        one.watch(tmp_path / "fred", INBOX, 0, heard.set)
        other.start()
        async with asyncio.timeout(60):
            await heard.wait()  # the subscription is confirmed
            heard.clear()
            other.publish(tmp_path / "fred", INBOX)
            await heard.wait()
    finally:
        await one.close()
        await other.close()


def command(container: str, *words: str, port: int = 6379) -> str:
    """Run redis-cli in a node with its password."""
    inside = (
        "REDISCLI_AUTH=$(sed -n 's/^requirepass //p' /run/secrets/redis.conf)"
        f" redis-cli -p {port} {' '.join(words)}"
    )
    return docker(
        "exec", container, "sh", "-c", f"export {inside.replace(' redis-cli', '; redis-cli', 1)}"
    )


def sentinels(container: str) -> int:
    """Return how many other sentinels the one of this pod knows."""
    rows = command(container, "sentinel", "sentinels", "restante", port=26379).splitlines()
    return sum(row.strip() == "runid" for row in rows)

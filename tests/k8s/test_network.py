"""Who reaches whom: exactly the flows of this table, in each overlay, and nothing else."""

import copy
from typing import Final

import pytest

from tests.k8s.looking import named
from tests.k8s.network import Peer, peers, reaches
from tests.k8s.rendering import Object, needs_kustomize, objects

pytestmark = needs_kustomize

WORLD: Final = Peer("world", address="198.51.100.7")
GATEWAY: Final = Peer(
    "gateway", namespace="gateways", namespace_labels={"restante-gateway": "true"}
)
PROMETHEUS: Final = Peer("prometheus", namespace="monitoring")
STRANGER: Final = Peer("stranger", {"app.kubernetes.io/name": "imap"}, namespace="elsewhere")
SQUATTER: Final = Peer(
    "squatter", {"app": "cron"}, ports={"web": 80}
)  # a pod of somebody in our own namespace
HOOK: Final = Peer("hook", {"restante-delivers": "http"})
DNS: Final = Peer("dns", {"k8s-app": "kube-dns"}, namespace="kube-system", ports={"dns": 53})
DATABASE: Final = Peer("restante-db", {"cnpg.io/cluster": "restante-db"}, ports={"sql": 5432})
SOLVER: Final = Peer("solver", {"acme.cert-manager.io/http01-solver": "true"}, ports={"http": 8089})
OPERATOR: Final = Peer("cnpg", namespace="cnpg-system")

_CLIENTS: Final = ("delivery", "pop3", "imap", "webmail")
_ALL: Final = ("auth", *_CLIENTS)
_HEALTH: Final = {"auth": 9101, "delivery": 9102, "pop3": 9103, "imap": 9104, "webmail": 9105}

Flow = tuple[str, str, int]

COMMON: Final[set[Flow]] = {
    *((name, "auth", 50051) for name in _CLIENTS),
    *((name, "redis", 6379) for name in _ALL),
    *(("prometheus", name, port) for name, port in _HEALTH.items()),
    ("exim", "delivery", 2424),
    ("hook", "delivery", 8025),
    ("exim", "auth", 50053),
    *(("world", "imap", port) for port in (1143, 1993)),
    *(("world", "pop3", port) for port in (1110, 1995)),
    ("gateway", "webmail", 8080),
}
# What the world may enter, everybody may who may leave; these are bound by no policy of ours.
_UNBOUND: Final = ("world", "gateway", "prometheus", "stranger")


def flows(rendering: list[Object], *more: Peer) -> set[Flow]:
    """Return every (source, destination, port) that is let through, over all ports there are."""
    ends = [*peers(rendering).values(), WORLD, GATEWAY, PROMETHEUS, STRANGER, SQUATTER, HOOK, *more]
    return {
        (source.name, destination.name, port)
        for source in ends
        for destination in ends
        if source is not destination and destination.ports
        for port in destination.ports.values()
        if reaches(rendering, source, destination, port)
    }


def expected(rendering: list[Object], special: set[Flow], *more: str) -> set[Flow]:
    exim = peers(rendering)["exim"]
    public = {flow for flow in COMMON if flow[0] == "world"}
    public |= {("world", "exim", port) for port in exim.ports.values()}
    anybody = {(name, to, port) for name in (*_UNBOUND, *more) for _, to, port in public}
    return COMMON | special | anybody


def test_small() -> None:
    rendering = objects("overlays/small")
    assert flows(rendering) == expected(rendering, {("auth", "postgres", 5432)})


def test_isp() -> None:
    rendering = objects("overlays/isp")
    special = {
        ("auth", "restante-db", 5432),
        ("cnpg", "restante-db", 5432),
        ("redis", "redis-node", 6379),
        *((name, "solver", 8089) for name in (*_UNBOUND, "cnpg")),
    }
    assert flows(rendering, DATABASE, OPERATOR, SOLVER) == expected(rendering, special, "cnpg")


def test_nodes_of_redis_speak_to_each_other_and_sentinels_to_nobody_else() -> None:
    rendering = objects("overlays/isp")
    node, balancer = peers(rendering)["redis-node"], peers(rendering)["redis"]
    assert reaches(rendering, node, node, 6379)
    assert reaches(rendering, node, node, 26379)
    assert not reaches(rendering, balancer, node, 26379)


@pytest.mark.parametrize("overlay", ["small", "isp"])
def test_everybody_asks_dns_and_only_exim_leaves_the_cluster(overlay: str) -> None:
    rendering = objects(f"overlays/{overlay}")
    inside = Peer("inside", address="10.0.0.9")
    for peer in peers(rendering).values():
        assert reaches(rendering, peer, DNS, 53, "UDP")
        assert reaches(rendering, peer, DNS, 53)
        for port in (25, 80, 443, 465, 587, 2049):
            assert reaches(rendering, peer, WORLD, port) == (
                peer.name == "exim" and port in (25, 465, 587)
            )
            assert not reaches(rendering, peer, inside, port)


@pytest.mark.parametrize("overlay", ["small", "isp"])
def test_known_bad_policies_are_noticed(overlay: str) -> None:
    """The evaluator sees what each policy is for: without it the flows are others."""
    rendering = objects(f"overlays/{overlay}")
    right = flows(rendering)
    for policy in [one for one in rendering if one["kind"] == "NetworkPolicy"]:
        name = policy["metadata"]["name"]
        if name in ("dns", "restante-db", "restante-db-clients", "acme-solver"):
            continue  # of ends that are not in the table
        assert flows([one for one in rendering if one is not policy]) != right, name
    wider = copy.deepcopy(rendering)
    del named(wider, "NetworkPolicy", "auth")["spec"]["ingress"][0]["from"]
    assert ("world", "auth", 50051) in flows(wider) - right
    wrong = copy.deepcopy(rendering)
    named(wrong, "NetworkPolicy", "delivery")["spec"]["ingress"][0]["ports"][0]["port"] = 2425
    assert right - flows(wrong) == {("exim", "delivery", 2424)}

"""A small evaluator of NetworkPolicies: who reaches which port.

A connection is let through when both sides let it: each side does where no policy selects it for
that direction, or some policy that does has a rule for the other side and the port. Named ports are
those of the destination's containers. Nodes and what lies outside are addresses.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.k8s.looking import containers, matches, of_kind, pod_labels, ports, workloads
from tests.k8s.rendering import Object


@dataclass(frozen=True)
class Peer:
    """One end of a connection: a pod, or an address outside of the cluster."""

    name: str
    labels: dict[str, str] = field(default_factory=dict)
    namespace: str = "restante"
    namespace_labels: dict[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    address: str = ""  # of what is no pod

    @property
    def all_namespace_labels(self) -> dict[str, str]:
        """With the one that Kubernetes sets."""
        return {"kubernetes.io/metadata.name": self.namespace, **self.namespace_labels}


def peers(objects: Sequence[Object]) -> dict[str, Peer]:
    """Return the pods of a rendering, by the name of what makes them."""
    found = {}
    for workload in workloads(objects):
        name = workload["metadata"]["name"]
        there: dict[str, int] = {}
        for _, container in containers(workload):
            there |= ports(container)
        found[name] = Peer(name, pod_labels(workload), ports=there)
    return found


def reaches(
    objects: Sequence[Object], source: Peer, destination: Peer, port: int, protocol: str = "TCP"
) -> bool:
    """Say whether `source` may open a connection to this port of `destination`."""
    policies = of_kind(objects, "NetworkPolicy")
    out = _allowed(policies, "Egress", source, destination, destination, port, protocol)
    into = _allowed(policies, "Ingress", destination, source, destination, port, protocol)
    return out and into


def _allowed(
    policies: Sequence[Object],
    direction: str,
    subject: Peer,
    other: Peer,
    destination: Peer,
    port: int,
    protocol: str,
) -> bool:
    if subject.address or subject.namespace != "restante":
        return True  # no policy of ours is about it
    about = [
        one["spec"]
        for one in policies
        if direction in one["spec"]["policyTypes"]
        and matches(one["spec"]["podSelector"], subject.labels)
    ]
    if not about:
        return True
    rules, side = ("egress", "to") if direction == "Egress" else ("ingress", "from")
    return any(
        _peer_fits(rule.get(side), other) and _port_fits(rule, destination, port, protocol)
        for spec in about
        for rule in spec.get(rules, ())
    )


def _peer_fits(terms: list[dict[str, Any]] | None, other: Peer) -> bool:
    if not terms:
        return True
    return any(_term_fits(term, other) for term in terms)


def _term_fits(term: dict[str, Any], other: Peer) -> bool:
    if "ipBlock" in term:
        if not other.address:
            return False  # pods are never meant by addresses here
        address = ipaddress.ip_address(other.address)
        block = term["ipBlock"]
        return address in ipaddress.ip_network(block["cidr"]) and not any(
            address in ipaddress.ip_network(hole) for hole in block.get("except", ())
        )
    if other.address:
        return False
    if "namespaceSelector" in term:
        if not matches(term["namespaceSelector"], other.all_namespace_labels):
            return False
    elif other.namespace != "restante":
        return False
    return "podSelector" not in term or matches(term["podSelector"], other.labels)


def _port_fits(rule: dict[str, Any], destination: Peer, port: int, protocol: str) -> bool:
    if "ports" not in rule:
        return True
    for one in rule["ports"]:
        wanted = one.get("port", port)
        number = destination.ports.get(wanted) if isinstance(wanted, str) else wanted
        if one.get("protocol", "TCP") == protocol and number == port:
            return True
    return False

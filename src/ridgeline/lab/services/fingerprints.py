"""What a site's files are called by, so that a site that differs is found (see `render.fingerprint`)."""

from collections.abc import Sequence

from ridgeline.lab.plan import NodeKind
from ridgeline.lab.services.base import Place, unicast
from ridgeline.render.fingerprint import CONFIG_NAME, Fleet, fingerprint, policy_fingerprint


def fleet_of(place: Place) -> Fleet:
    """Say what may differ between the sites of a lab."""
    servers = list(place.plan.of_kind(NodeKind.SERVER))
    return Fleet(
        sites=tuple(site.name for site in place.spec.sites),
        addresses=tuple(str(a) for node in servers for a in unicast(node)),
        folders=(str(place.directory), str(place.directory.resolve())),
    )


def config_of(place: Place, text: str) -> str:
    """Return the fingerprint of a configuration's text."""
    return fingerprint(text, fleet_of(place))


def config_record(place: Place, text: str) -> str:
    """Return the TXT record by which a name server tells its configuration's fingerprint."""
    return f'{CONFIG_NAME} 0 IN TXT "configuration={config_of(place, text)}"'


def edge_fingerprints(place: Place, texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return what an edge's trace tells of the texts that it runs with."""
    policy = policy_fingerprint(texts, fleet_of(place))
    return ("config", config_of(place, "\n".join(texts))), ("policy", policy)

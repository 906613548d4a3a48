"""Whatever stands in a name or path, it ends up in its place of the text or is refused."""

from collections.abc import Callable
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.render.edge import EdgeSite, Origin, TlsFiles
from ridgeline.render.identity import SiteIdentity
from ridgeline.render.knot import KnotSite, ZoneFile, render_knot
from ridgeline.render.nginx import render_nginx
from ridgeline.render.origin import render_origin
from ridgeline.render.unbound import StubZone, UnboundSite, render_unbound
from ridgeline.render.unbound_client import ClientResolver, render_client_resolver

HERE = (ip_address("192.0.2.53"),)


def identity(site: str = "nrt", network: str = "net", domain: str = "net.example") -> SiteIdentity:
    return SiteIdentity(site=site, network=network, domain=domain)


def knot(
    who: SiteIdentity, path: str = "/run", zone: str = "a.test", user: str | None = None
) -> str:
    zones = (ZoneFile(domain=zone, path=path),)
    return render_knot(KnotSite(identity=who, directory=path, listen=HERE, zones=zones, user=user))


def unbound(
    who: SiteIdentity, path: str = "/run", zone: str = "a.test", record: str = "a.test. A 192.0.2.1"
) -> str:
    return render_unbound(
        UnboundSite(
            identity=who,
            directory=path,
            listen=HERE,
            outgoing=(),
            stubs=(StubZone(domain=zone, addresses=HERE),),
            ptr_records=((HERE[0], zone),),
            local_data=(record,),
        )
    )


def nginx(who: SiteIdentity, path: str = "/run", host: str = "a.test", user: str = "root") -> str:
    return render_nginx(
        EdgeSite(
            identity=who,
            directory=path,
            listen=HERE,
            origin=Origin(host=host, port=80, address=HERE[0], scheme="https", trusted=path),
            tls=TlsFiles(certificate=path, key=path, ticket_keys=(path,)),
            user=user,
        )
    )


PLACES: dict[str, Callable[[str], str]] = {
    "knot: site": lambda text: knot(identity(site=text)),
    "knot: path": lambda text: knot(identity(), path=f"/{text}"),
    "knot: zone": lambda text: knot(identity(), zone=text),
    "knot: user": lambda text: knot(identity(), user=text or "x"),
    "unbound: site": lambda text: unbound(identity(site=text)),
    "unbound: path": lambda text: unbound(identity(), path=f"/{text}"),
    "unbound: zone": lambda text: unbound(identity(), zone=text),
    "unbound: record": lambda text: unbound(identity(), record=text),
    "client: path": lambda text: render_client_resolver(
        ClientResolver(directory=f"/{text}", ptr_records=())
    ),
    "nginx: network": lambda text: nginx(identity(network=text)),
    "nginx: domain": lambda text: nginx(identity(domain=text)),
    "nginx: path": lambda text: nginx(identity(), path=f"/{text}"),
    "nginx: host": lambda text: nginx(identity(), host=text),
    "nginx: user": lambda text: nginx(identity(), user=text or "x"),
    "origin: path": lambda text: render_origin(f"/{text}", HERE, 80, f"/{text}"),
}


def shape(text: str) -> tuple[int, int, int]:
    """Count what gives a text its structure: lines and quotes of either kind."""
    return text.count("\n"), text.count('"'), text.count("'")


@pytest.mark.parametrize("place", PLACES)
@given(
    text=st.text(st.characters(codec="utf-8") | st.sampled_from("\n\r\0\"'\\;{}#$%: "), max_size=12)
)
def test_no_text_changes_the_shape_of_the_file(place: str, text: str) -> None:
    render = PLACES[place]
    try:
        rendered = render(text)
    except ValueError:
        return
    wanted = shape(render("plain"))
    if place == "unbound: record":  # in single quotes, so that a TXT string may have double ones
        assert f"'{text}'" in rendered
        rendered = rendered.replace(f"'{text}'", "'plain'")
    assert shape(rendered) == wanted

import re
from pathlib import Path

import numpy as np
import pytest

from ridgeline.app.check import check_spec, read_spec
from ridgeline.app.internet import load_internet
from ridgeline.app.new import DEFAULT_SITES, new_network
from ridgeline.errors import InputError, MachineError
from ridgeline.routing.announce import announcements
from ridgeline.spec.model import ServiceKind
from ridgeline.spec.parse import examine_spec, parse_spec_with_warnings

OPTION = re.compile(r"^( *)# ([a-z_]+: )", re.MULTILINE)


def test_what_it_writes_is_right_as_it_stands(tmp_path: Path) -> None:
    files = new_network(tmp_path / "mine")
    assert [str(file.relative_to(tmp_path / "mine")) for file in files] == [
        "ridgeline.yaml",
        "zones/example.test.zone",
        "www/index.html",
    ]
    verdict = check_spec(str(files[0]))
    assert verdict.ok
    assert verdict.warnings == ()
    assert verdict.spec is not None
    assert verdict.spec.network == "mine"
    assert tuple(site.name for site in verdict.spec.sites) == DEFAULT_SITES


def test_every_site_announces_to_networks_of_the_built_in_internet(tmp_path: Path) -> None:
    spec = read_spec(str(new_network(tmp_path, ["nrt", "pek", "akl", "los", "gru"])[0]))
    said = announcements(spec, load_internet("builtin:demo"))
    assert said.announcing() == ("nrt", "pek", "akl", "los", "gru")
    assert np.bincount(said.site).tolist() == [2, 1, 2, 1, 2]


def test_each_option_may_be_switched_on_where_it_stands(tmp_path: Path) -> None:
    text = new_network(tmp_path)[0].read_text()
    switched_on = OPTION.sub(r"\1\2", text)
    assert len(OPTION.findall(text)) == 20
    spec, _ = parse_spec_with_warnings(switched_on, file="spec.yaml")
    first = spec.sites[0]
    assert (first.capacity, first.upstreams[0].prepend) == (200000, 0)
    assert len(first.upstreams[0].prefixes) == 1
    dns, resolver, web = spec.services
    assert web.kind is ServiceKind.HTTP_CACHE
    assert web.tls is not None
    assert resolver.tls is not None
    assert (web.shield, web.handoff, dns.rate_limit) == (("nrt",), ("/download/",), 500)
    assert spec.secrets == "secrets"


def test_the_defaults_it_tells_are_the_defaults(tmp_path: Path) -> None:
    text = new_network(tmp_path)[0].read_text()
    without_health = re.sub(r"^health:\n(  .*\n)+", "", text, flags=re.MULTILINE)
    assert without_health != text
    shown, plain = (examine_spec(t, file="x").spec for t in (text, without_health))
    assert shown is not None
    assert plain is not None
    assert [s.health for s in shown.services] == [s.health for s in plain.services]


def test_no_file_is_overwritten_and_all_that_are_there_are_named(tmp_path: Path) -> None:
    new_network(tmp_path)
    (tmp_path / "ridgeline.yaml").unlink()
    (tmp_path / "www" / "index.html").write_text("mine")
    with pytest.raises(InputError) as caught:
        new_network(tmp_path)
    assert str(caught.value).splitlines() == [
        f"{tmp_path}/zones/example.test.zone: exists already, and no file is overwritten",
        f"{tmp_path}/www/index.html: exists already, and no file is overwritten",
    ]
    assert not (tmp_path / "ridgeline.yaml").exists()
    assert (tmp_path / "www" / "index.html").read_text() == "mine"


def test_a_folder_whose_name_is_no_network_name_still_makes_one(tmp_path: Path) -> None:
    spec = read_spec(str(new_network(tmp_path / "My net (2)")[0]))
    assert spec.network == "example-anycast"


def test_wrong_sites_are_all_named_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        new_network(tmp_path / "net", ["tokyo", "zzz", "nrt", "NRT"])
    assert str(caught.value).splitlines() == [
        "site 'tokyo' is not an IATA code; for tokyo write hnd or nrt or tyo",
        "site 'zzz' is not an IATA code, such as nrt",
        "site nrt stands twice",
    ]
    assert not (tmp_path / "net").exists()


def test_a_place_that_cannot_be_written_is_the_machines_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="cannot be written"):
        new_network(tmp_path / "file" / "net")

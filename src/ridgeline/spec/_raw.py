"""The shape of the file, field by field; behind `parse_spec` nobody sees these.

Each scalar is text until its own parser types it. Descriptions and examples serve three readers:
the messages, the JSON Schema and, through it, the author's editor.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainValidator,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError, core_schema

from ridgeline.net.asn import MAX_ASN, Asn, parse_asn
from ridgeline.net.community import Community
from ridgeline.net.place import Place
from ridgeline.spec import values
from ridgeline.spec.model import Address, EdgeEngine, Prefix, ServiceKind, SiteState

NOT_TEXT: Final = "not_text"
"""Error type: a list or mapping stands where one value is expected."""


def _only_text(parse: Callable[[str], Any]) -> PlainValidator:
    def read(value: Any) -> Any:
        if not isinstance(value, str):
            raise PydanticCustomError(NOT_TEXT, "not text")
        return parse(value)

    return PlainValidator(read)


def _text(pattern: str = "") -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$"} if pattern else _TEXT)


_TEXT: Final = {"type": "string"}
_ASN_SCHEMA: Final = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": MAX_ASN - 1},
        {"type": "string", "pattern": r"^([Aa][Ss])?[0-9]+(\.[0-9]+)?$"},
        {"type": "number", "description": "asdot: 1.10 is AS65546"},
    ]
}

_Name = Annotated[str, _only_text(values.parse_name), _text(values.NAME)]
_SiteName = Annotated[
    str, _only_text(values.parse_site_name), _text(values.NAME.replace("a-z", "A-Za-z"))
]
_Asn = Annotated[Asn, _only_text(parse_asn), WithJsonSchema(_ASN_SCHEMA)]
_Prefix = Annotated[Prefix, _only_text(values.parse_prefix), _text("[0-9A-Fa-f.:]+/[0-9]+")]
_Address = Annotated[Address, _only_text(values.parse_address), _text("[0-9A-Fa-f.:]+")]
_Community = Annotated[
    Community, _only_text(values.parse_public_community), _text("([0-9]+(:[0-9]+){1,2}|[a-z-]+)")
]
_Duration = Annotated[float, _only_text(values.parse_duration), _text(values.DURATION)]
_Rounds = Annotated[
    int,
    _only_text(values.parse_rounds),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 100}),
]
_Prepend = Annotated[
    int,
    _only_text(values.parse_prepend),
    WithJsonSchema({"type": "integer", "minimum": 0, "maximum": values.MAX_PREPEND}),
]
_Count = Annotated[
    int, _only_text(values.parse_count), WithJsonSchema({"type": "integer", "minimum": 1})
]
_Flag = Annotated[bool, _only_text(values.parse_flag), WithJsonSchema({"type": "boolean"})]
_Lat = Annotated[
    float,
    _only_text(values.parse_lat),
    WithJsonSchema({"type": "number", "minimum": -90, "maximum": 90}),
]
_Lon = Annotated[
    float,
    _only_text(values.parse_lon),
    WithJsonSchema({"type": "number", "minimum": -180, "maximum": 180}),
]
_Words = Annotated[str, _only_text(values.parse_words), _text()]
_Country = Annotated[str, _only_text(values.parse_country), _text("[A-Za-z]{2}")]
_Path = Annotated[str, _only_text(values.parse_path), _text()]
_Folder = Annotated[str, _only_text(values.parse_folder), _text()]
_Origin = Annotated[str, _only_text(values.parse_origin), _text("https?://.+")]
_Kind = Annotated[
    ServiceKind,
    _only_text(values.parse_kind),
    WithJsonSchema({"type": "string", "enum": [kind.value for kind in ServiceKind]}),
]
_Engine = Annotated[
    EdgeEngine,
    _only_text(values.parse_engine),
    WithJsonSchema({"type": "string", "enum": [engine.value for engine in EdgeEngine]}),
]
_Clients = Annotated[Prefix, _only_text(values.parse_clients), _text("[0-9A-Fa-f.:]+(/[0-9]+)?")]
_UrlPath = Annotated[str, _only_text(values.parse_url_path), _text(values.URL_PATH)]
_State = Annotated[
    SiteState,
    _only_text(values.parse_state),
    WithJsonSchema({"type": "string", "enum": [state.value for state in SiteState]}),
]


class _Raw(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RawHealth(_Raw):
    """When a service counts as healthy."""

    interval: _Duration = Field(
        default=1.0, description="Time between two checks", json_schema_extra={"default": "1s"}
    )
    timeout: _Duration = Field(
        default=0.5,
        description="How long a check waits for its answer; at most the interval",
        json_schema_extra={"default": "500ms"},
    )
    fall: _Rounds = Field(default=2, description="Failed checks in a row until the service is down")
    rise: _Rounds = Field(default=3, description="Good checks in a row until the service is up")


class RawServiceHealth(_Raw):
    """What one service does differently from the network's `health`."""

    interval: _Duration | None = Field(default=None, description="Time between two checks")
    timeout: _Duration | None = Field(
        default=None, description="How long a check waits for its answer"
    )
    fall: _Rounds | None = Field(
        default=None, description="Failed checks in a row until it is down"
    )
    rise: _Rounds | None = Field(default=None, description="Good checks in a row until it is up")


class RawTls(_Raw):
    """Certificate and key of a service."""

    certificate: _Path | None = Field(
        default=None,
        description="The certificate chain (PEM), relative to the spec; without it and the key "
        "a rehearsal signs one of its own",
        examples=["tls/site.pem"],
    )
    key: _Path | None = Field(
        default=None,
        description="The private key (PEM), relative to the spec",
        examples=["tls/site.key"],
    )


class RawService(_Raw):
    """Something that answers on anycast addresses, at every site."""

    kind: _Kind = Field(description="What answers", examples=["authoritative-dns"])
    addresses: list[_Address] = Field(
        min_length=1,
        description="Anycast addresses, each inside one of the prefixes",
        examples=[["192.0.2.53", "2001:db8:53::53"]],
    )
    zones: list[_Path] = Field(
        default=[],
        description="Zone files, relative to the spec; authoritative-dns only, at least one there",
        examples=[["zones/example.test.zone"]],
    )
    origin: _Origin | None = Field(
        default=None,
        description="Where misses are fetched; http-cache only, required there",
        examples=["http://origin.example.test:8080"],
    )
    tls: RawTls | None = Field(
        default=None,
        description="Certificate and key: http-cache then answers on port 443 too, recursive-dns "
        "on 853 (DNS over TLS) and 443 (DNS over HTTPS)",
        examples=[{"certificate": "tls/site.pem", "key": "tls/site.key"}],
    )
    primary: _Flag = Field(
        default=False,
        description="A hidden primary holds the zones and sends them to the sites; without it "
        "every site reads the files; authoritative-dns only",
    )
    dnssec: _Flag | None = Field(
        default=None,
        description="authoritative-dns: the hidden primary signs the zones (false by default); "
        "recursive-dns: answers are validated (true by default)",
        examples=[True],
    )
    clients: list[_Clients] = Field(
        default=[],
        min_length=1,
        description="Who may ask; everyone by default, which `check` warns of; recursive-dns only",
        examples=[["192.0.2.0/24", "2001:db8::/32"]],
    )
    rate_limit: _Count | None = Field(
        default=None,
        description="Answers per second to one client; authoritative-dns: equal answers to one "
        "client network (RRL)",
        examples=[500],
    )
    engine: _Engine = Field(
        default=EdgeEngine.NGINX,
        description="nginx alone, or Varnish behind nginx; http-cache only",
    )
    cache_cookies: _Flag = Field(
        default=False,
        description="Whether requests with cookies may be answered from, and fill, the cache; "
        "http-cache only",
    )
    shield: list[_SiteName] = Field(
        default=[],
        min_length=1,
        description="Sites that alone fetch from the origin, each its share of the URLs; "
        "http-cache only",
        examples=[["nrt", "lhr"]],
    )
    handoff: list[_UrlPath] = Field(
        default=[],
        min_length=1,
        description="Paths whose requests are moved to the site's unicast address (307), so that "
        "a long download outlives a route change; http-cache only",
        examples=[["/download/"]],
    )
    health: RawServiceHealth | None = Field(
        default=None,
        description="What differs from the network's `health`",
        examples=[{"interval": "250ms", "timeout": "200ms"}],
    )


class RawUpstream(_Raw):
    """What a site says to one neighbouring network."""

    asn: _Asn = Field(description="The upstream's AS number", examples=[65540])
    prefixes: list[_Prefix] | None = Field(
        default=None,
        min_length=1,
        description="Those of the network's prefixes that are announced here; all by default",
        examples=[["192.0.2.0/24"]],
    )
    prepend: _Prepend = Field(
        default=0, description="Extra copies of our own AS number on the AS path"
    )
    communities: list[_Community] = Field(
        default=[],
        description="BGP communities and large communities on the announcement",
        examples=[["65550:0:174"]],
    )
    bfd: _Flag = Field(
        default=False, description="Bidirectional Forwarding Detection on the session"
    )


class RawCoordinates(_Raw):
    """A place by its coordinates."""

    lat: _Lat = Field(description="Degrees north", examples=[35.76])
    lon: _Lon = Field(description="Degrees east", examples=[140.39])
    city: _Words | None = Field(
        default=None,
        description="The city's name; by default that of the site's IATA code, or else the site's name",
        examples=["Tokyo"],
    )
    country: _Country | None = Field(
        default=None,
        description="ISO 3166-1 alpha-2 country code; by default that of the site's IATA code, or unknown",
        examples=["JP"],
    )


class _OrCode:
    """Lets an IATA code stand for the coordinates."""

    def __get_pydantic_core_schema__(
        self, _source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        def read(value: Any, coordinates: core_schema.ValidatorFunctionWrapHandler) -> Any:
            return values.parse_code(value) if isinstance(value, str) else coordinates(value)

        coordinates = handler.generate_schema(RawCoordinates)
        return core_schema.no_info_wrap_validator_function(read, coordinates)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        code = {"type": "string", "pattern": f"^{values.CODE}$", "description": "An IATA code"}
        return {"anyOf": [code, handler(schema)]}


_Location = Annotated[RawCoordinates | Place, _OrCode()]


class RawSite(_Raw):
    """One place that announces the prefixes."""

    upstreams: list[RawUpstream] = Field(
        min_length=1,
        description="The networks to which this site announces",
        examples=[[{"asn": 65540}]],
    )
    location: _Location | None = Field(
        default=None,
        description="Where the site is: an IATA code, or coordinates; by default the code that "
        "is the site's name",
        examples=[{"lat": 35.76, "lon": 140.39}],
    )
    capacity: _Count | None = Field(
        default=None,
        description="Queries (or requests) per second that the site can carry",
        examples=[200000],
    )
    state: _State = Field(
        default=SiteState.ACTIVE,
        description="Whether the site announces; a planned site is predicted, not announced",
    )


class RawSpec(_Raw):
    """An anycast network: what is announced, from where, and what answers."""

    network: _Name = Field(description="The network's name", examples=["example-anycast"])
    asn: _Asn = Field(description="The AS number that announces", examples=[64500])
    prefixes: list[_Prefix] = Field(
        min_length=1,
        description="What BGP announces, from every site",
        examples=[["192.0.2.0/24", "2001:db8:53::/48"]],
    )
    services: dict[_Name, RawService] = Field(
        default={},
        description="What answers on the prefixes, by name",
        examples=[{"dns": {"kind": "custom", "addresses": ["192.0.2.53"]}}],
    )
    health: RawHealth = Field(
        default=RawHealth(),
        description="When a service counts as healthy",
        examples=[{"interval": "1s"}],
        json_schema_extra={"default": {}},
    )
    secrets: _Folder | None = Field(
        default=None,
        description="Folder of the keys that all sites share, relative to the spec: "
        "`ridgeline secrets new` fills it; without it a rehearsal makes its own",
        examples=["secrets"],
    )
    rescue: _Flag = Field(
        default=False,
        description="Send segments of a flow that a route change brought to the wrong site back "
        "to the site that owns it",
    )
    sites: dict[_SiteName, RawSite] = Field(
        min_length=1,
        description="The places that announce, by name",
        examples=[{"nrt": {"upstreams": [{"asn": 65540}]}}],
    )


class RawSitePart(_Raw):
    """What is of the right shape at one site; an upstream that is not leaves its place empty."""

    upstreams: list[RawUpstream | None] = []
    location: _Location | None = None
    capacity: _Count | None = None
    state: _State = SiteState.ACTIVE


class RawParts(_Raw):
    """The parts of a spec that are of the right shape, for the rules between fields."""

    network: _Name | None = None
    asn: _Asn | None = None
    prefixes: list[_Prefix] | None = None
    services: dict[_Name, RawService] = {}
    health: RawHealth | None = None
    secrets: _Folder | None = None
    rescue: _Flag = False
    sites: dict[_SiteName, RawSitePart] = {}

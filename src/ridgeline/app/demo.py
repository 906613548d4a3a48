"""The whole story in one command: predict, build, try, break, heal, compare, report.

Each step adds what it saw to the report and states a claim about it. The demo is a success only
if every claim was seen.
"""

import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from ridgeline.app.check import read_spec
from ridgeline.app.internet import load_internet
from ridgeline.app.lab import bring_up
from ridgeline.app.predict import Prediction, predict
from ridgeline.app.rehearsed import rehearsed_map
from ridgeline.catchment.diff import compare
from ridgeline.catchment.model import Row
from ridgeline.errors import MachineError
from ridgeline.lab.control import LabClient, is_running, lab_directory, take_down
from ridgeline.lab.services import BIG_FILE_BYTES
from ridgeline.lab.zones import read_zones
from ridgeline.net.place import great_circle_km
from ridgeline.spec.model import ServiceKind, Spec
from ridgeline.topology.internet import Internet

Tell = Callable[[str], None]

TRACED_CITIES: Final = 6
FARTHER_KM: Final = 500.0
DOWNLOAD_S: Final = 12.0
DOWNLOAD_BEFORE_S: Final = 2.0
MAX_LOST: Final = 2


@dataclass(slots=True)
class Demo:
    """One run of the story; `report` grows as it goes."""

    spec: Spec
    internet: Internet
    tell: Tell
    lab: LabClient
    report: dict[str, Any] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)

    def claim(self, text: str, seen: bool, detail: str = "") -> None:
        """Note that something promised was, or was not, seen."""
        self.report["claims"].append({"claim": text, "seen": bool(seen), "detail": detail})

    def ask(self, verb: str, **arguments: object) -> Any:
        """Ask the lab."""
        return self.lab.ask(verb, self.tell, **arguments)

    @property
    def clients(self) -> dict[str, Any]:
        """The clients as the lab last described them."""
        clients: dict[str, Any] = self.status["clients"]
        return clients

    def service(self, *kinds: ServiceKind) -> str | None:
        """Name the first service of these kinds."""
        return next((s.name for s in self.spec.services if s.kind in kinds), None)

    @property
    def mapped_service(self) -> str:
        """The service whose catchment the story follows: the first that there is."""
        return next(s.name for s in self.spec.services if s.kind is not ServiceKind.CUSTOM)

    def site_of(self, city: str) -> str | None:
        """Say which site answers a city."""
        site: str | None = self.clients[city]["services"][self.mapped_service]["site"]
        return site


def run_demo(spec_path: str, *, internet: str, tell: Tell) -> dict[str, Any]:
    """Tell the whole story and return the report (``ridgeline.report/1``).

    Raises
    ------
    InputError, MachineError
        The lab could not be built at all; what fails later is a claim that was not seen.
    """
    begun = time.monotonic()
    spec = read_spec(spec_path)
    if all(service.kind is ServiceKind.CUSTOM for service in spec.services):
        raise MachineError(
            f"{spec.file} has no service that could be tried",
            hint="add a service such as `dns: {kind: authoritative-dns, ...}` to the spec",
        )
    name = f"demo-{os.getpid()}"
    demo = Demo(spec=spec, internet=load_internet(internet), tell=tell, lab=LabClient(name))
    demo.report = {
        "schema": "ridgeline.report/1",
        "network": spec.network,
        "asn": spec.asn,
        "prefixes": [str(prefix) for prefix in spec.prefixes],
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "system": f"{platform.system()} {platform.release()}",
            "processors": os.cpu_count(),
            "python": platform.python_version(),
            "user": "root" if os.geteuid() == 0 else "ordinary",
        },
        "claims": [],
    }
    tell("predicting where clients will land")
    prediction = predict(spec, demo.internet, planned=False)
    with _lab(spec_path, internet, name, demo):
        _who_answers_whom(demo, prediction)
        _compare_with_prediction(demo, prediction)
        _traceroutes(demo)
        _resolve(demo)
        _fetch(demo)
        victim = _victim(demo)
        _fail_and_heal(demo, victim)
        _drain(demo, victim)
        _download(demo, victim)
    demo.claim(
        "Nothing is left behind: no process, namespace or interface",
        not is_running(lab_directory(name)),
        "the lab's PID namespace is gone",
    )
    demo.report["seconds"] = round(time.monotonic() - begun, 1)
    return demo.report


@contextmanager
def _lab(spec_path: str, internet: str, name: str, demo: Demo) -> Iterator[None]:
    demo.tell("lab: building")
    summary = bring_up(spec_path, internet=internet, name=name, progress=demo.tell)
    demo.report["internet"] = {
        "name": demo.internet.name,
        "ases": summary["ases"],
        "routers": summary["routers"],
        "links": summary["links"],
        "delay": summary["delay"],
        "ready_s": summary["ready_s"],
    }
    demo.claim(
        "The network is up and its routing quiet",
        summary["ready_s"] > 0,
        f"{summary['routers']} BIRD routers, {summary['links']} links, {summary['ready_s']:.1f} s",
    )
    try:
        yield
    finally:
        demo.tell("taking the lab down")
        take_down(name)


def _who_answers_whom(demo: Demo, prediction: Prediction) -> None:
    demo.tell("asking every service from every city")
    status = demo.status = demo.ask("status")
    by_vantage: dict[str, Row] = {row.name: row for row in prediction.map.rows()}
    sites = {name: site for name, site in status["sites"].items() if site["state"] == "announced"}
    demo.report["sites"] = [
        {
            "name": name,
            "city": site["city"],
            **site["place"],
            "upstreams": site["upstreams"],
            "state": site["state"],
        }
        for name, site in status["sites"].items()
    ]
    demo.report["clients"] = [
        _describe_client(city, client, sites, demo.mapped_service, by_vantage)
        for city, client in demo.clients.items()
    ]
    answers = [
        (city, service, answer)
        for city, client in demo.clients.items()
        for service, answer in client["services"].items()
    ]
    silent = [f"{city} {service}" for city, service, answer in answers if not answer["site"]]
    demo.claim(
        "Every client city is answered by a site, on every service",
        not silent and bool(answers),
        f"{len(answers)} of {len(answers)} answers name their site"
        if not silent
        else f"no answer: {', '.join(silent[:5])}",
    )
    counts = Counter(demo.site_of(city) or "nobody" for city in demo.clients)
    demo.claim(
        "One address, many sites: different cities are answered by different sites",
        len(counts) > 1,
        ", ".join(f"{site} {n}" for site, n in counts.most_common()),
    )
    v6 = demo.ask("status", ipv6=True)["clients"]
    same = sum(
        v6[city]["services"].get(demo.mapped_service, {}).get("site") == demo.site_of(city)
        for city in demo.clients
    )
    if any(client["services"] for client in v6.values()):
        answered = sum(bool(a["site"]) for c in v6.values() for a in c["services"].values())
        wanted = sum(len(c["services"]) for c in v6.values())
        demo.claim(
            "IPv6 works as IPv4 does",
            answered == wanted,
            f"{answered} of {wanted} answers; same site as over IPv4 for {same} cities",
        )
    far = [c for c in demo.report["clients"] if c["site_km"] - c["nearest_km"] > FARTHER_KM]
    demo.report["far"] = [client["city"] for client in far]
    if far:
        worst = max(far, key=lambda c: float(c["site_km"] - c["nearest_km"]))
        demo.claim(
            "The honest limit: BGP does not choose the nearest site for everybody",
            seen=True,
            detail=f"{len(far)} of {len(demo.clients)} cities land more than {FARTHER_KM:.0f} km "
            f"farther than they need; {worst['name']} is answered by "
            f"{worst['services'][demo.mapped_service]['site']}, {worst['nearest']} is "
            f"{worst['site_km'] - worst['nearest_km']:,.0f} km nearer",
        )


def _describe_client(
    city: str,
    client: Mapping[str, Any],
    sites: Mapping[str, Any],
    service: str,
    predicted: Mapping[str, Row],
) -> dict[str, Any]:
    def km(site: str) -> float:
        place = sites[site]["place"]
        return great_circle_km(client["lat"], client["lon"], place["lat"], place["lon"])

    nearest = min(sites, key=km)
    answered = client["services"].get(service, {}).get("site")
    row = predicted.get(client["vantage"])
    return {
        "city": city,
        "name": client["city"],
        "asn": client["asn"],
        "network": client["network"],
        "lat": client["lat"],
        "lon": client["lon"],
        "users": client["users"],
        "services": client["services"],
        "nearest": nearest,
        "nearest_km": round(km(nearest), 1),
        "site_km": round(km(answered), 1) if answered in sites else round(km(nearest), 1),
        **(
            {
                "predicted": {
                    "site": row.site,
                    "rtt_ms": row.rtt_ms,
                    "certainty": row.certainty,
                    "possible": list(row.possible),
                }
            }
            if row
            else {}
        ),
    }


def _compare_with_prediction(demo: Demo, prediction: Prediction) -> None:
    rehearsed = rehearsed_map(demo.status, when=demo.report["started"])
    result = compare(prediction.map, rehearsed)
    demo.report["comparison"] = {
        "agreement": result.overall.n_same / result.overall.n,
        "weighted_agreement": result.overall.weight_same / (result.overall.weight or 1.0),
        "compared": result.overall.n,
        "outside_possible": list(result.outside_possible),
        "differences": [
            {"before": move.before, "after": move.after, "names": list(move.names)}
            for move in result.moved
        ],
    }
    unsure = [move.names for move in result.moved]
    demo.claim(
        "The prediction held: each city landed where the model said, or at a site that it named",
        not result.outside_possible,
        f"{result.overall.n_same} of {result.overall.n} as predicted"
        + (f"; ties that fell otherwise: {len(unsure)}" if unsure else ""),
    )


def _spread(demo: Demo, n: int) -> list[str]:
    """Choose cities that show the most: the heaviest of each site's, then the next ones."""
    heaviest = sorted(demo.clients, key=lambda city: -demo.clients[city]["users"])
    first: dict[str | None, str] = {}
    for city in heaviest:
        first.setdefault(demo.site_of(city), city)
    chosen = list(first.values())
    chosen += [city for city in heaviest if city not in chosen]
    return chosen[:n]


def _traceroutes(demo: Demo) -> None:
    cities = _spread(demo, TRACED_CITIES)
    demo.tell(f"traceroute from {', '.join(cities)}")
    traces = demo.ask("trace", target=demo.mapped_service, **{"from": cities})
    demo.report["traces"] = [
        {k: trace[k] for k in ("from", "target", "site", "hops")} for trace in traces
    ]
    ends = {trace["from"]: trace["site"] for trace in traces if trace["reached"]}
    demo.claim(
        f"Traceroutes from {len(cities)} cities to one address end in different data centres",
        len(ends) == len(cities) and len(set(ends.values())) > 1,
        ", ".join(f"{city} at {site}" for city, site in ends.items()),
    )
    agrees = [city for city, site in ends.items() if site == demo.site_of(city)]
    demo.claim(
        "The last hop's host name tells the same site as the answer itself (NSID, RFC 5001)",
        len(agrees) == len(ends) > 0,
        f"{len(agrees)} of {len(ends)}",
    )


def _resolve(demo: Demo) -> None:
    zones = read_zones(demo.spec)
    if not zones:
        return
    question = f"www.{zones[0].domain}"
    demo.report["resolve"] = []
    for kind, word in (
        (ServiceKind.AUTHORITATIVE_DNS, "authoritative"),
        (ServiceKind.RECURSIVE_DNS, "recursive"),
    ):
        service = demo.service(kind)
        if service is None:
            continue
        demo.tell(f"resolving {question} at {service}")
        answers = demo.ask("dig", name=question, type="A", target=service)
        demo.report["resolve"] += [
            {
                "from": answer["from"],
                "service": service,
                "kind": word,
                "question": answer["question"],
                "answer": answer["answer"],
                "site": answer["site"],
                "rtt_ms": answer["rtt_ms"],
            }
            for answer in answers
        ]
        good = [a for a in answers if a["status"] == "NOERROR" and a["answer"] and a["site"]]
        demo.claim(
            f"{word.capitalize()} DNS answers everywhere, and says from where",
            len(good) == len(answers) > 0,
            f"{len(good)} of {len(answers)} cities got {question}",
        )


def _fetch(demo: Demo) -> None:
    if demo.service(ServiceKind.HTTP_CACHE) is None:
        return
    zones = read_zones(demo.spec)
    url = f"http://www.{zones[0].domain.rstrip('.')}/" if zones else None
    demo.report["fetch"] = []
    seen: list[tuple[dict[str, Any], dict[str, Any]]] = []
    demo.tell(f"fetching {url or 'the trace page'} from every city, twice")
    first, second = (demo.ask("get", url=url) for _ in range(2))
    for before, after in zip(first, second, strict=True):
        seen.append((before, after))
        for item in (before, after):
            demo.report["fetch"].append(
                {
                    "from": item["from"],
                    "url": item["url"],
                    "status": item["status"],
                    "site": item["site"],
                    "ms": item["ms"],
                    "bytes": item["bytes"],
                    "cache": "hit" if "hit" in (item["cache"] or "") else "miss",
                }
            )
    good = [a for _, a in seen if a["status"] == 200 and a["site"]]
    demo.claim(
        "A page comes from the edge cache of the site that the city reaches",
        len(good) == len(seen) > 0 and all(a["site"] == demo.site_of(a["from"]) for a in good),
        f"{len(good)} of {len(seen)} cities, by name, resolved by the anycast resolver itself",
    )
    if url:
        hits = sum("hit" in (after["cache"] or "") for _, after in seen)
        demo.claim(
            "Fetched again, it is in the cache",
            hits == len(seen) > 0,
            f"{hits} of {len(seen)} were hits",
        )


def _victim(demo: Demo) -> str:
    """Choose the site to kill: of those that answer the city beside them, the one of most users."""
    users: Counter[str] = Counter()
    local = set()
    for client in demo.report["clients"]:
        site = demo.site_of(client["city"])
        if site:
            users[site] += client["users"]
            if site == client["nearest"]:
                local.add(site)
    return max(local or users, key=lambda site: (users[site], site))


def _fail_and_heal(demo: Demo, victim: str) -> None:
    demo.tell(f"killing {victim}")
    failover = demo.ask("fail", site=victim, how="crash", samples=True)
    demo.report["failover"] = failover
    theirs = [row for row in failover["clients"] if row["before"] == victim]
    others = [row for row in failover["clients"] if row["before"] != victim]
    moved = [row for row in theirs if row["after"] not in {None, victim}]
    lost = max((row["queries_lost"] for row in theirs), default=0)
    took_over = Counter(row["after"] for row in moved)
    demo.claim(
        f"{victim} dies and its clients move to the next site, with nothing changed at them",
        len(moved) == len(theirs) > 0,
        f"{len(moved)} of {len(theirs)} cities moved: "
        + ", ".join(f"{n} to {site}" for site, n in took_over.most_common()),
    )
    worst = max((row["unanswered_ms"] or 0.0 for row in theirs), default=0.0)
    demo.claim(
        f"Nobody loses more than {MAX_LOST} of a query every {failover['interval_ms']:.0f} ms",
        lost <= MAX_LOST and len(moved) == len(theirs),
        f"at most {lost} lost at one city, {worst:.0f} ms without an answer",
    )
    demo.claim(
        "Clients of the other sites notice nothing",
        all(row["queries_lost"] == 0 and row["before"] == row["after"] for row in others),
        f"{len(others)} cities",
    )
    foreseen = predict(demo.spec, demo.internet, down=(victim,), planned=False)
    by_vantage = {row.name: row for row in foreseen.map.rows()}
    right = [
        row
        for row in moved
        if row["after"] in (by_vantage[demo.clients[row["city"]]["vantage"]].possible or ())
    ]
    demo.claim(
        "The model had foreseen who takes over",
        len(right) == len(moved) > 0,
        f"{len(right)} of {len(moved)} cities",
    )
    demo.tell(f"healing {victim}")
    heal = demo.ask("heal", site=victim, samples=True)
    demo.report["heal"] = heal
    back = [row for row in heal["clients"] if row["after"] == victim]
    demo.claim(
        f"{victim} comes back and so do its clients",
        {row["city"] for row in back} == {row["city"] for row in theirs},
        f"{len(back)} of {len(theirs)} cities, "
        f"{sum(row['queries_lost'] for row in heal['clients'])} queries lost",
    )


def _drain(demo: Demo, site: str) -> None:
    """Take the same site out on purpose: the warning that RFC 8326 gives makes it painless."""
    demo.tell(f"draining {site}")
    drained = demo.ask("drain", site=site)
    demo.report["drain"] = drained
    lost = sum(row["queries_lost"] for row in drained["clients"])
    asked = sum(row["queries"] for row in drained["clients"])
    moved = sum(row["before"] != row["after"] for row in drained["clients"])
    demo.claim(
        "Drained on purpose (GRACEFUL_SHUTDOWN, RFC 8326), it costs no query at all",
        lost == 0 and moved > 0,
        f"{moved} cities moved, {lost} of {asked} queries lost",
    )
    demo.ask("heal", site=site)


def _download(demo: Demo, site: str) -> None:
    """Hold a TCP connection open while its route moves: the limit of anycast."""
    if demo.service(ServiceKind.HTTP_CACHE) is None:
        return
    city = next((c for c in _spread(demo, len(demo.clients)) if demo.site_of(c) == site), None)
    if city is None:
        return
    demo.tell(f"a long download from {city}, then its route moves")
    url = "http://origin.example.test/big"
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(
            LabClient(demo.lab.name).ask, "download", url=url, seconds=DOWNLOAD_S, **{"from": city}
        )
        time.sleep(DOWNLOAD_BEFORE_S)
        failover = demo.ask("fail", site=site, how="withdraw")
        result = pending.result()
    after = next(row["after"] for row in failover["clients"] if row["city"] == city)
    moved_at = failover["monotonic_s"]
    demo.report["tcp"] = {
        "from": city,
        "url": url,
        "bytes_before": result["bytes"],
        "of_bytes": result["length"] or BIG_FILE_BYTES,
        "how": {"reset": "connection reset", "hang": "timeout"}.get(result["how"], result["how"]),
        "after_ms": round((result["ended"] - moved_at) * 1000, 1),
        "from_site": result["site"],
        "to_site": after,
        "note": f"{after} has no such connection and says so with a RST (RFC 9293, section 3.5.3); "
        "DNS clients only ask again, a download must start again.",
    }
    demo.claim(
        "The other honest limit: a TCP connection does not survive a move of its route",
        result["how"] in {"reset", "hang", "closed"} and result["bytes"] > 0,
        f"{city} had {result['bytes'] / 1e6:.1f} MB from {result['site']}; "
        f"{demo.report['tcp']['how']} {demo.report['tcp']['after_ms']:.0f} ms after the route "
        f"moved to {after}",
    )
    demo.ask("heal", site=site)

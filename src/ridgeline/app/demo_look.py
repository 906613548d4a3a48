"""The first half of the demo: look at a healthy network, and hold it against the prediction."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from ridgeline.app.predict import Prediction
from ridgeline.app.rehearsed import rehearsed_map
from ridgeline.app.story import Demo
from ridgeline.catchment.diff import compare
from ridgeline.catchment.model import Row
from ridgeline.lab.material.zonefiles import read_zones
from ridgeline.net.place import great_circle_km
from ridgeline.spec.model import ServiceKind

TRACED_CITIES: Final = 6
FARTHER_KM: Final = 500.0


def who_answers_whom(demo: Demo, prediction: Prediction) -> None:
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


def compare_with_prediction(demo: Demo, prediction: Prediction) -> None:
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


def traceroutes(demo: Demo) -> None:
    cities = demo.spread(TRACED_CITIES)
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


def resolve(demo: Demo) -> None:
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


def fetch(demo: Demo) -> None:
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

"""What a running lab shows, as a catchment map: the rehearsed twin of a prediction."""

from collections.abc import Mapping
from typing import Any

from ridgeline.catchment.model import CatchmentMap, Kind, Row


def rehearsed_map(status: Mapping[str, Any], *, when: str = "") -> CatchmentMap:
    """Turn the answer of `lab status` into a map, a row for each client and service."""
    rows = [
        Row(
            name=client["vantage"],
            asn=client["asn"],
            city=client["code"],
            country=client["country"],
            lat=client["lat"],
            lon=client["lon"],
            weight=client["users"],
            service=service,
            site=answer["site"],
            rtt_ms=answer["rtt_ms"],
        )
        for client in status["clients"].values()
        for service, answer in client["services"].items()
    ]
    return CatchmentMap.from_rows(
        rows,
        kind=Kind.REHEARSED,
        network=status["network"],
        sites=[name for name, site in status["sites"].items() if site["state"] != "planned"],
        source=f"lab {status['name']} on {status['internet']}",
        when=when,
    )

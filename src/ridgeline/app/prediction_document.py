"""Predictions and comparisons as JSON documents, the same for the terminal and the browser."""

from collections.abc import Iterator
from typing import Any, Final

from ridgeline.app.predict import Prediction
from ridgeline.catchment.diff import Agreement, Comparison
from ridgeline.catchment.inflation import Detour
from ridgeline.catchment.model import CatchmentMap
from ridgeline.catchment.shares import SiteShare

N_WORST: Final = 10


def prediction_document(prediction: Prediction, *, clients: bool = True) -> dict[str, Any]:
    """``ridgeline.prediction/1``; without clients it stays small on any Internet."""
    detours = prediction.inflation
    document = {
        "schema": "ridgeline.prediction/1",
        "network": prediction.spec.network,
        "prefix": prediction.prefix,
        "internet": prediction.internet,
        "sites": {
            name: {
                **_share(share),
                "load": round(prediction.load[name], 3),
                "capacity": prediction.spec.site(name).capacity,
            }
            for name, share in prediction.sites.items()
        },
        "unreached": _unreached(prediction.unreached),
        "certainty": {c.value: round(part, 6) for c, part in prediction.certainty.items()},
        "inflation": {
            "share": round(detours.part, 6),
            "users": round(detours.weight, 3),
            "median_extra_ms": _ms(detours.median_extra_ms),
            "p95_extra_ms": _ms(detours.p95_extra_ms),
            "worst": [_detour(prediction.map, d) for d in detours.detours[:N_WORST]],
        },
        "stable": prediction.stable,
        "notes": list(prediction.notes),
    }
    if clients:
        document["clients"] = list(_clients(prediction.map))
    return document


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """``ridgeline.comparison/1``."""
    return {
        "schema": "ridgeline.comparison/1",
        "a": _origin(comparison.a),
        "b": _origin(comparison.b),
        "matched_by": comparison.matched_by,
        **_agreement(comparison.overall),
        "by_certainty": {c.value: _agreement(a) for c, a in comparison.by_certainty.items()},
        "outside_possible": list(comparison.outside_possible),
        "moved": [
            {
                "from": move.before,
                "to": move.after,
                "clients": move.n,
                "users": round(move.weight, 3),
                "names": list(move.names),
            }
            for move in comparison.moved
        ],
        "slower": [
            {
                "name": slower.name,
                "service": slower.service,
                "users": round(slower.weight, 3),
                "from": slower.before,
                "to": slower.after,
                "before_ms": _ms(slower.before_ms),
                "after_ms": _ms(slower.after_ms),
            }
            for slower in comparison.slower
        ],
        "faster": comparison.n_faster,
        "only_a": comparison.n_only_a,
        "only_b": comparison.n_only_b,
    }


def _share(share: SiteShare) -> dict[str, Any]:
    return {
        "share": round(share.share, 6),
        "users": round(share.weight, 3),
        "median_rtt_ms": _ms(share.median_rtt_ms),
        "p95_rtt_ms": _ms(share.p95_rtt_ms),
        "ases": share.n_ases,
        "clients": share.n_rows,
    }


def _unreached(share: SiteShare | None) -> dict[str, Any]:
    if share is None:
        return {"share": 0.0, "users": 0, "ases": 0, "clients": 0}
    both = _share(share)
    return {key: both[key] for key in ("share", "users", "ases", "clients")}


def _clients(catchment: CatchmentMap) -> Iterator[dict[str, Any]]:
    for name, asn, city, users, site, certainty, possible, rtt, path in zip(
        catchment.name,
        catchment.asn,
        catchment.city,
        catchment.weight,
        catchment.site,
        catchment.certainty,
        catchment.possible,
        catchment.rtt_ms,
        catchment.as_path,
        strict=True,
    ):
        yield {
            "name": name,
            "asn": asn,
            "city": city,
            "users": users,
            "site": site,
            "certainty": certainty,
            "possible": list(possible),
            "rtt_ms": rtt,
            "as_path": list(path or ()),
        }


def _detour(catchment: CatchmentMap, detour: Detour) -> dict[str, Any]:
    row = detour.row
    return {
        "name": catchment.name[row],
        "asn": catchment.asn[row],
        "city": catchment.city[row],
        "users": catchment.weight[row],
        "site": catchment.site[row],
        "nearest": detour.nearest,
        "rtt_ms": catchment.rtt_ms[row],
        "nearest_rtt_ms": _ms(detour.nearest_rtt_ms),
        "extra_ms": _ms(detour.extra_ms),
        "as_path": list(catchment.as_path[row] or ()),
    }


def _agreement(agreement: Agreement) -> dict[str, Any]:
    return {
        "agreement": round(agreement.part, 6),
        "agreement_weighted": round(agreement.weighted, 6),
        "clients": agreement.n,
        "same": agreement.n_same,
    }


def _origin(catchment: CatchmentMap) -> dict[str, Any]:
    return {
        "kind": catchment.kind.value,
        "network": catchment.network,
        "prefix": catchment.prefix,
        "source": catchment.source,
        "when": catchment.when,
        "clients": len(catchment),
    }


def _ms(value: float | None) -> float | None:
    return None if value is None else round(value, 3)

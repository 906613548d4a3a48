"""The second half of the demo: kill a site, heal it, drain it; see `demo_sessions` for the rest."""

from collections import Counter
from typing import Final

from ridgeline.app.predict import predict
from ridgeline.app.story import Demo

MAX_LOST: Final = 2


def choose_victim(demo: Demo) -> str:
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


def fail_and_heal(demo: Demo, victim: str) -> None:
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


def drain(demo: Demo, site: str) -> None:
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

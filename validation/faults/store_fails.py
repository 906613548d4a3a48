"""The fleet's store is lost, slow, hung, or split. A doubt is a no: announced, drained, said."""

import time
from collections.abc import Callable

from .fault import Fault, Group
from .judge import Want
from .site import Site
from .store import Store, lacks_store

_REFUSED = "the agent alerts"


def store_lost(site: Site) -> None:
    """Lose two of three members: no quorum."""
    _refused(site, lambda store: store.kill(0, 1))


def store_gone(site: Site) -> None:
    """Lose every member: connections are refused."""
    _refused(site, lambda store: store.kill(0, 1, 2))


def store_hung(site: Site) -> None:
    """Stop every member: connections are accepted, nobody answers."""
    _refused(site, lambda store: store.stop(0, 1, 2))


def store_slow(site: Site) -> None:
    """Let every answer come too late: a slot takes three, within 900 ms."""
    _refused(site, lambda store: store.slow_down(0.4), slow=True)


def store_slowish(site: Site) -> None:
    """Let every answer come late, and the slot in time."""
    with site.stores.use(site) as store:
        store.slow_down(0.1)
        _heal_guarded(site, store, slow=True)
        site.let_service_die()
        site.settle()
        site.let_service_live()
        site.settle()


def store_split_minority(site: Site) -> None:
    """Be with one member; the other two go on, with the other sites."""

    def split(store: Store) -> None:
        store.cut([site.store_address, store.member(0)], [store.member(1), store.member(2)])

    def other_side(store: Store) -> None:
        # They may have to elect another leader first.
        site.wait(lambda: store.ask_for("elsewhere"), "the majority serves the others")
        site.notes.append("the only slot went to a site on the other side")

    _refused(site, split, meanwhile=other_side)


def store_split_majority(site: Site) -> None:
    """Be with two members; the third, which was the leader or not, is cut off."""
    with site.stores.use(site) as store:
        _heal_guarded(site, store)
        store.cut([store.member(0)], [store.member(1), store.member(2), site.store_address])
        site.let_service_die()
        site.settle(seconds=3.5)
        site.let_service_live()
        site.settle()


def store_lost_while_withdrawn(site: Site) -> None:
    """Lose the store, and with it the slot's lease, after the withdrawal."""
    with site.stores.use(site) as store:
        _heal_guarded(site, store, options="lease_s: 2")
        site.let_service_die()
        site.settle()
        site.moment("the store dies")
        store.kill(0, 1, 2)
        time.sleep(3.0)  # the lease is over
        site.settle()
        site.let_service_live()
        site.settle()


def budget_spent(site: Site) -> None:
    """Fail while another site has the only slot; then that one comes back."""
    with site.stores.use(site) as store:
        _heal_guarded(site, store)
        assert store.ask_for("elsewhere")
        site.let_service_die(Want.DRAINED)
        site.settle()
        assert any("elsewhere" in e["reason"] for e in site.said("withdrawal_refused"))
        site.notes.append(_REFUSED)


def _refused(
    site: Site,
    spoil: Callable[[Store], None],
    *,
    slow: bool = False,
    meanwhile: Callable[[Store], None] = lambda _: None,
) -> None:
    with site.stores.use(site) as store:
        if slow:
            spoil(store)
            _heal_guarded(site, store, slow=True)
        else:
            _heal_guarded(site, store)
            spoil(store)
        meanwhile(store)
        site.let_service_die(Want.DRAINED)
        site.settle(hold=1.5)
        assert any("store" in entry["reason"] for entry in site.said("withdrawal_refused"))
        site.notes.insert(0, _REFUSED)
        if not site.quick:
            site.let_service_live()
            site.settle()


def _heal_guarded(site: Site, store: Store, *, slow: bool = False, options: str = "") -> None:
    endpoints = ", ".join(f"'{e}'" for e in (store.slow_endpoints if slow else store.endpoints))
    more = f", options: {{{options}}}" if options else ""
    site.heal(more=f"fleet: {{endpoints: [{endpoints}], budget: 1{more}}}\n")


def _later(_: Site) -> None:
    """Heal when the store is ours."""


FAULTS = tuple(
    Fault(run=run, title=title, group=Group.STORE, prepare=_later, lacks=lacks_store)
    for run, title in (
        (store_lost, "Two of the store's three members die, and the service dies"),
        (store_gone, "All members die, and the service dies"),
        (store_hung, "All members hang, and the service dies"),
        (store_slow, "Every answer of the store comes 400 ms late, and the service dies"),
        (store_slowish, "Every answer of the store comes 100 ms late, and the service dies"),
        (
            store_split_minority,
            "The network splits, this site with one member; the service dies",
        ),
        (
            store_split_majority,
            "The network splits, this site with two members; the service dies",
        ),
        (
            store_lost_while_withdrawn,
            "The service dies; all members die, and the slot's lease ends",
        ),
        (budget_spent, "The service dies while another site has the only slot"),
    )
)

"""`reference.settle_reference` as a compiled loop over arrays, for Internets of many routers.

The order of activations is the same, and so is the outcome where several are stable. A router's
route is spread over the arrays `session` (-1: none), `lp`, `length`, `internal`, `learned`,
`next_hop`, and `path[router, :hops]`: the AS indices that its AS path names, copies included.
"""
# ruff: noqa: ANN001, ANN202, C901, PLR0912, PLR0913, PLR0915, PLR0917 - jitted loops: flat beats clever
# mypy: allow-untyped-defs

import numpy as np
from numba import njit

MAX_HOPS = 64  # a longer path is not taken


@njit(cache=True)
def settle(
    pop_as, first,
    provider_ptr, provider_idx, peer_ptr, peer_idx, customer_ptr, customer_idx,
    igp_ptr, igp,
    start, seed_ptr, seed_session, s_site, s_learned, s_length,
    drained, kept, silent,
    lowered_row, lowered, refused_row, refused, towards_ptr, towards_as, towards,
    patience,
    session, lp, length, internal, learned, next_hop, hops, path,
):  # fmt: skip
    """Activate routers in turn until none has news; return whether that came to pass."""
    n = pop_as.size
    queue = np.empty(n, np.int32)
    queued = np.zeros(n, np.bool_)
    waiting = start.size
    head = 0
    for i in range(waiting):
        queue[i] = start[i]
        queued[start[i]] = True
    fresh = np.empty(MAX_HOPS, np.int32)
    for _ in range(patience):
        if waiting == 0:
            return True
        here = queue[head]
        head = head + 1 if head + 1 < n else 0
        waiting -= 1
        queued[here] = False
        a = pop_as[here]

        # The best so far; a candidate must beat it. Lowest wins, but for the local preference.
        b_lp = np.int64(-1)
        b_length = b_inner = b_cost = b_rank = b_session = b_learned = np.int64(0)
        b_via = np.int64(-1)
        b_copies = np.int64(0)

        # Sources 0: sites, 1-3: neighbours by role, 4: routers of the same AS.
        for source in range(5):
            if source == 0:
                low, high = seed_ptr[here], seed_ptr[here + 1]
            elif source == 1:
                low, high = customer_ptr[here], customer_ptr[here + 1]
            elif source == 2:
                low, high = peer_ptr[here], peer_ptr[here + 1]
            elif source == 3:
                low, high = provider_ptr[here], provider_ptr[here + 1]
            else:
                low, high = first[a], first[a + 1]
            for e in range(low, high):
                copies = 1
                cost = np.int64(0)
                if source == 0:
                    via = np.int64(-1)
                    s = seed_session[e]
                    c_learned = np.int64(s_learned[s])
                    c_length = np.int64(s_length[s])
                    rank = np.int64(n + s_site[s])
                elif source < 4:
                    if source == 1:
                        via = np.int64(customer_idx[e])
                    elif source == 2:
                        via = np.int64(peer_idx[e])
                    else:
                        via = np.int64(provider_idx[e])
                    s = session[via]
                    if s < 0 or kept[s]:
                        continue
                    if learned[via] == 1:
                        there = pop_as[via]
                        for t in range(towards_ptr[there], towards_ptr[there + 1]):
                            if towards_as[t] == a:
                                copies = 1 + towards[t, s] if towards[t, s] >= 0 else -1
                        if copies < 0:
                            continue
                    elif source != 3:
                        continue
                    c_learned = np.int64(source)
                    c_length = np.int64(length[via] + copies)
                    rank = via
                else:
                    via = np.int64(e)
                    s = session[via]
                    if via == here or s < 0 or internal[via] or silent[s]:
                        continue
                    size = first[a + 1] - first[a]
                    cost = np.int64(igp[igp_ptr[a] + (here - first[a]) * size + via - first[a]])
                    c_learned = np.int64(learned[via])
                    c_length = np.int64(length[via])
                    rank = via
                inner = np.int64(source == 4)
                if inner == 1:
                    c_lp = np.int64(lp[via])
                else:
                    if refused_row[a] >= 0 and refused[refused_row[a], s]:
                        continue
                    if drained[s]:
                        c_lp = np.int64(0)
                    else:
                        c_lp = np.int64(400 - 100 * c_learned)
                        if c_learned == 1 and lowered_row[a] >= 0:
                            c_lp = np.int64(lowered[lowered_row[a], s])
                if c_lp < b_lp:
                    continue
                if c_lp == b_lp:
                    if c_length != b_length:
                        if c_length > b_length:
                            continue
                    elif inner != b_inner:
                        if inner > b_inner:
                            continue
                    elif cost != b_cost:
                        if cost > b_cost:
                            continue
                    elif rank >= b_rank:
                        continue
                if source in (1, 2, 3):
                    if hops[via] + copies > MAX_HOPS:
                        continue
                    loop = False
                    for h in range(hops[via]):
                        if path[via, h] == a:
                            loop = True
                            break
                    if loop:
                        continue
                b_lp, b_length, b_inner, b_cost, b_rank = c_lp, c_length, inner, cost, rank
                b_session, b_learned, b_via = np.int64(s), c_learned, via
                b_copies = np.int64(copies)

        n_fresh = 0
        if b_lp >= 0 and b_via >= 0:
            if b_inner == 0:
                for _copy in range(b_copies):
                    fresh[n_fresh] = pop_as[b_via]
                    n_fresh += 1
            for h in range(hops[b_via]):
                fresh[n_fresh] = path[b_via, h]
                n_fresh += 1
        if b_lp < 0:
            if session[here] < 0:
                continue
            session[here] = -1
            hops[here] = 0
        else:
            hop = b_via if b_via >= 0 else n + s_site[b_session]
            same = (
                session[here] == b_session
                and lp[here] == b_lp
                and length[here] == b_length
                and internal[here] == (b_inner == 1)
                and learned[here] == b_learned
                and next_hop[here] == hop
                and hops[here] == n_fresh
            )
            if same:
                for h in range(n_fresh):
                    same = same and path[here, h] == fresh[h]
                if same:
                    continue
            session[here] = b_session
            lp[here] = b_lp
            length[here] = b_length
            internal[here] = b_inner == 1
            learned[here] = b_learned
            next_hop[here] = hop
            hops[here] = n_fresh
            path[here, :n_fresh] = fresh[:n_fresh]

        # Whoever listens to this router has news.
        for source in range(4):
            if source == 0:
                low, high = provider_ptr[here], provider_ptr[here + 1]
            elif source == 1:
                low, high = peer_ptr[here], peer_ptr[here + 1]
            elif source == 2:
                low, high = customer_ptr[here], customer_ptr[here + 1]
            else:
                low, high = first[a], first[a + 1]
            for e in range(low, high):
                if source == 0:
                    v = np.int64(provider_idx[e])
                elif source == 1:
                    v = np.int64(peer_idx[e])
                elif source == 2:
                    v = np.int64(customer_idx[e])
                else:
                    v = np.int64(e)
                if v != here and not queued[v]:
                    queued[v] = True
                    at = head + waiting
                    queue[at if at < n else at - n] = v
                    waiting += 1
    return waiting == 0

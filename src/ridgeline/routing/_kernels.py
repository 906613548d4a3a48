"""Compiled loops over raw arrays: what `propagate` runs where every AS treats all sessions alike.

ASes are numbered so that providers come before their customers (`order`), and stubs last, those with
equally many providers together, which lets the processor guess right. `rank` gives the AS index of
such a number. No argument is checked here: `propagate` does.

A route is one unsigned number whose order is the order of the decision, lowest first (RFC 4271,
section 9.1.2.2):

    64 bits   class 2 | length 14 | neighbour's rank 32 | site 16
    32 bits   class 2 | length  6 | neighbour's rank 17 | site  7     (many scenarios at once)

Class 1, 2, 3: learned from a customer, peer, provider (`Learned`). "Nothing heard" has class 3 and
the longest length but one, so that passing it on makes it worse than nothing. A network that
refuses all routes has class 0 and that length: nothing improves it, nobody takes it.
"""

# ruff: noqa: ANN001, ANN202 - numba finds the types; names say what the arrays are
# mypy: allow-untyped-defs

import numpy as np
from numba import njit

U = np.uint64
W = np.uint32
NONE = U((3 << 62) | (0x3FFE << 48))
REFUSES = U(0x3FFE << 48)
LENGTH_AND_SITE = U((0x3FFF << 48) | 0xFFFF)
NONE32 = W((3 << 30) | (62 << 24))
REFUSES32 = W(62 << 24)
LENGTH_AND_SITE32 = W((63 << 24) | 127)


@njit(cache=True)
def order(customer_ptr, customer_idx, provider_ptr):
    """Put ASes in order, providers first; the answer is shorter than n where providers form a circle."""
    n = provider_ptr.size - 1
    missing = provider_ptr[1:] - provider_ptr[:-1]
    out = np.empty(n, np.int32)
    head = 0
    tail = 0
    for v in range(n):
        if missing[v] == 0:
            out[tail] = v
            tail += 1
    while head < tail:
        v = out[head]
        head += 1
        for e in range(customer_ptr[v], customer_ptr[v + 1]):
            u = customer_idx[e]
            missing[u] -= 1
            if missing[u] == 0:
                out[tail] = u
                tail += 1
    return out[:tail]


@njit(cache=True)
def climb(provider_ptr, provider_idx, rank, seed_at, seed_key, n_customer, key, queue):
    """Let customer routes go up, shortest first; seeds [0, n_customer) are sorted by length.

    Returns how many ASes have one; they stand in `queue`, in order of length.
    """
    one = U(1 << 48)
    class1 = U(1 << 62)
    head = 0
    tail = 0
    seed = 0
    length = U(0)
    while True:
        if head == tail:
            if seed >= n_customer:
                return tail
            length = (seed_key[seed] >> U(48)) & U(0x3FFF)
        while seed < n_customer and ((seed_key[seed] >> U(48)) & U(0x3FFF)) == length:
            v = seed_at[seed]
            if seed_key[seed] < key[v]:
                if key[v] == NONE:
                    queue[tail] = v
                    tail += 1
                key[v] = seed_key[seed]
            seed += 1
        end = tail
        for i in range(head, end):
            v = queue[i]
            offer = class1 | ((key[v] & LENGTH_AND_SITE) + one) | (U(rank[v]) << U(16))
            for e in range(provider_ptr[v], provider_ptr[v + 1]):
                u = provider_idx[e]
                known = key[u]
                if offer < known:
                    if known == NONE:
                        queue[tail] = u
                        tail += 1
                    key[u] = offer
        head = end
        length += U(1)


@njit(cache=True)
def climb_and_cross(
    provider_ptr, provider_idx, peer_ptr, peer_idx, rank,
    seed_at, seed_key, n_customer, refusing, key, queue,
):  # fmt: skip
    """Find the customer and peer routes; return the climbers' number."""
    one = U(1 << 48)
    class2 = U(2 << 62)
    key[:] = NONE
    for v in refusing:
        key[v] = REFUSES
    climbers = climb(provider_ptr, provider_idx, rank, seed_at, seed_key, n_customer, key, queue)
    for seed in range(n_customer, seed_at.size):
        key[seed_at[seed]] = min(key[seed_at[seed]], seed_key[seed])
    for i in range(climbers):
        v = queue[i]
        offer = class2 | ((key[v] & LENGTH_AND_SITE) + one) | (U(rank[v]) << U(16))
        for e in range(peer_ptr[v], peer_ptr[v + 1]):
            u = peer_idx[e]
            key[u] = min(key[u], offer)
    return climbers


@njit(cache=True)
def propagate(
    provider_ptr, provider_idx, peer_ptr, peer_idx, rank,
    seed_at, seed_key, n_customer, refusing, key, queue, told,
):  # fmt: skip
    """Find every AS's route where providers form no circle; return the climbers' number.

    `told` is scratch, one entry for each AS with customers: what it tells them.
    """
    one = U(1 << 48)
    class3 = U(3 << 62)
    n = key.size
    climbers = climb_and_cross(
        provider_ptr, provider_idx, peer_ptr, peer_idx, rank,
        seed_at, seed_key, n_customer, refusing, key, queue,
    )  # fmt: skip
    # Every provider stands before its customers: one pass, each AS asking its providers.
    for v in range(told.size):
        best = key[v]
        for e in range(provider_ptr[v], provider_ptr[v + 1]):
            best = min(best, told[provider_idx[e]])
        key[v] = best
        told[v] = (((best & LENGTH_AND_SITE) + one) | class3) | (U(rank[v]) << U(16))
    for v in range(told.size, n):
        best = key[v]
        for e in range(provider_ptr[v], provider_ptr[v + 1]):
            best = min(best, told[provider_idx[e]])
        key[v] = best
    return climbers


@njit(cache=True)
def propagate_circular(
    provider_ptr, provider_idx, customer_ptr, customer_idx, peer_ptr, peer_idx, rank,
    seed_at, seed_key, n_customer, refusing, key, queue, waiting, start,
):  # fmt: skip
    """Do as `propagate` for providers in circles: provider routes go down shortest first too."""
    one = U(1 << 48)
    class3 = U(3 << 62)
    n = key.size
    climbers = climb_and_cross(
        provider_ptr, provider_idx, peer_ptr, peer_idx, rank,
        seed_at, seed_key, n_customer, refusing, key, queue,
    )  # fmt: skip
    # Buckets by length: who has a route now (also from a site as provider), sorted by counting.
    start[:] = 0
    top = np.int64(0)
    for v in range(n):
        length = np.int64((key[v] >> U(48)) & U(0x3FFF))
        if length < 0x3FFE:
            start[length + 1] += 1
            top = np.int64(max(top, length))
    for i in range(1, top + 2):
        start[i] += start[i - 1]
    n_known = start[top + 1]
    for v in range(n):
        length = np.int64((key[v] >> U(48)) & U(0x3FFF))
        if length < 0x3FFE:
            waiting[start[length]] = v
            start[length] += 1
    known = 0
    head = n_known
    tail = n_known
    length = np.int64(0)
    while known < n_known or head < tail:
        end = tail
        for part in range(2):
            while True:
                if part == 0:
                    if known == n_known:
                        break
                    v = waiting[known]
                    if np.int64((key[v] >> U(48)) & U(0x3FFF)) > length:
                        break
                    known += 1
                    if np.int64((key[v] >> U(48)) & U(0x3FFF)) < length:
                        continue  # heard of something shorter meanwhile, and told it
                else:
                    if head == end:
                        break
                    v = waiting[head]
                    head += 1
                offer = (((key[v] & LENGTH_AND_SITE) + one) | class3) | (U(rank[v]) << U(16))
                for e in range(customer_ptr[v], customer_ptr[v + 1]):
                    u = customer_idx[e]
                    old = key[u]
                    if offer < old:
                        # A seed from a site as provider may be longer than what comes now.
                        if (old >> U(48)) > (offer >> U(48)):
                            waiting[tail] = u
                            tail += 1
                        key[u] = offer
        length += 1
    return climbers


@njit(cache=True)
def tie_sets(
    provider_ptr, provider_idx, peer_ptr, peer_idx,
    seed_at, seed_key, key, queue, climbers, sites,
):  # fmt: skip
    """Collect the sites behind all equally good routes; `key` from `propagate`, `sites` of shape (n, words)."""
    n, words = sites.shape
    for v in range(n):
        for w in range(words):
            sites[v, w] = U(0)
    for seed in range(seed_at.size):
        v = seed_at[seed]
        if (seed_key[seed] >> U(48)) == (key[v] >> U(48)):
            s = seed_key[seed] & U(0xFFFF)
            sites[v, np.int64(s >> U(6))] |= U(1) << (s & U(63))
    one = U(1)
    for i in range(climbers):
        v = queue[i]
        offer = (key[v] >> U(48)) + one  # class 1 and a length, one longer
        for e in range(provider_ptr[v], provider_ptr[v + 1]):
            u = provider_idx[e]
            if (key[u] >> U(48)) == offer:
                for w in range(words):
                    sites[u, w] |= sites[v, w]
    step = U(1 << 14)
    for i in range(climbers):
        v = queue[i]
        offer = (key[v] >> U(48)) + one + step
        for e in range(peer_ptr[v], peer_ptr[v + 1]):
            u = peer_idx[e]
            if (key[u] >> U(48)) == offer:
                for w in range(words):
                    sites[u, w] |= sites[v, w]
    for v in range(n):
        mine = key[v] >> U(48)
        if (mine >> U(14)) == U(3) and mine < U(0xFFFE):
            for e in range(provider_ptr[v], provider_ptr[v + 1]):
                u = provider_idx[e]
                if ((key[u] >> U(48)) & U(0x3FFF)) + one == (mine & U(0x3FFF)):
                    for w in range(words):
                        sites[v, w] |= sites[u, w]


@njit(cache=True)
def ancestors(provider_ptr, provider_idx, seed_at, refusing, marked, out):
    """List ASes at or above these, without those that refuse; customers before providers."""
    n = marked.size
    marked[:] = False
    for v in refusing:
        marked[v] = True
    tail = 0
    for v in seed_at:
        if not marked[v]:
            marked[v] = True
            out[tail] = v
            tail += 1
    head = 0
    while head < tail:
        v = out[head]
        head += 1
        for e in range(provider_ptr[v], provider_ptr[v + 1]):
            u = provider_idx[e]
            if not marked[u]:
                marked[u] = True
                out[tail] = u
                tail += 1
    for v in refusing:
        marked[v] = False
    tail = 0
    for v in range(n - 1, -1, -1):
        if marked[v]:
            out[tail] = v
            tail += 1
    return tail


@njit(cache=True)
def propagate_many(
    provider_ptr, provider_idx, peer_ptr, peer_idx, rank,
    seed_at, seed_key, climbing, refusing, key, told,
):  # fmt: skip
    """Run several scenarios side by side: `seed_key` of shape (seeds, k), `key` of shape (n, k).

    `told` is scratch of shape (ASes with customers, k). Rows are copied before the inner loops, so
    that the compiler need not fear that what it writes is what it reads.
    """
    n, many = key.shape
    one = W(1 << 24)
    class1 = W(1 << 30)
    class2 = W(2 << 30)
    class3 = W(3 << 30)
    offer = np.empty(many, np.uint32)
    key[:] = NONE32
    for v in refusing:
        key[v] = REFUSES32
    for seed in range(seed_at.size):
        v = seed_at[seed]
        for k in range(many):
            key[v, k] = min(key[v, k], seed_key[seed, k])
    for v in climbing:
        mine = class1 | (W(rank[v]) << W(7))
        for k in range(many):
            known = key[v, k]
            offer[k] = ((known & LENGTH_AND_SITE32) + one) | mine if known < class2 else NONE32
        for e in range(provider_ptr[v], provider_ptr[v + 1]):
            u = provider_idx[e]
            for k in range(many):
                key[u, k] = min(key[u, k], offer[k])
    for v in climbing:
        mine = class2 | (W(rank[v]) << W(7))
        some = False
        for k in range(many):
            known = key[v, k]
            some |= known < class2
            offer[k] = ((known & LENGTH_AND_SITE32) + one) | mine if known < class2 else NONE32
        if not some:
            continue
        for e in range(peer_ptr[v], peer_ptr[v + 1]):
            u = peer_idx[e]
            for k in range(many):
                key[u, k] = min(key[u, k], offer[k])
    for v in range(n):
        for k in range(many):
            offer[k] = key[v, k]
        for e in range(provider_ptr[v], provider_ptr[v + 1]):
            u = provider_idx[e]
            for k in range(many):
                offer[k] = min(offer[k], told[u, k])
        for k in range(many):
            key[v, k] = offer[k]
        if v < told.shape[0]:
            mine = class3 | (W(rank[v]) << W(7))
            for k in range(many):
                told[v, k] = ((offer[k] & LENGTH_AND_SITE32) + one) | mine


@njit(cache=True)
def unpack(key, number, site, length, learned, next_hop):
    """Turn keys by number into columns by AS index."""
    for a in range(number.size):
        k = key[number[a]]
        long = np.int32((k >> U(48)) & U(0x3FFF))
        heard = long < 0x3FFE
        site[a] = np.int32(k & U(0xFFFF)) if heard else -1
        length[a] = long if heard else 0
        learned[a] = np.int8(k >> U(62)) if heard else 0
        next_hop[a] = np.int32((k >> U(16)) & U(0xFFFFFFFF)) if heard else -1


@njit(cache=True)
def unpack32(key, column, number, site, length, learned, next_hop):
    """Do as `unpack` for one scenario of many."""
    for a in range(number.size):
        k = key[number[a], column]
        long = np.int32((k >> W(24)) & W(63))
        heard = long < 62
        site[a] = np.int32(k & W(127)) if heard else -1
        length[a] = long if heard else 0
        learned[a] = np.int8(k >> W(30)) if heard else 0
        next_hop[a] = np.int32((k >> W(7)) & W(0x1FFFF)) if heard else -1


@njit(cache=True)
def sum_by_site(key, rank, weight, total):
    """Sum the weight of the ASes by site, in each scenario; the last column is: nothing heard."""
    n, many = key.shape
    nowhere = total.shape[1] - 1
    for v in range(n):
        w = weight[rank[v]]
        for k in range(many):
            known = key[v, k]
            heard = ((known >> W(24)) & W(63)) < W(62)
            total[k, np.int64(known & W(127)) if heard else nowhere] += w

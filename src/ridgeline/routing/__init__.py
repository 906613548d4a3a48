"""Where every packet for an anycast prefix goes: BGP policy routing over an `Internet`.

RFC 4271 section 9.1 (decision process), RFC 1997 (no-export, no-advertise), RFC 8326 (graceful
shutdown), RFC 8092 (large communities, as a provider's menu for its customers), RFC 9234 (roles).
Export is valley-free: what was learned from a peer or a provider is told to customers only.

`announce` says what the sites announce, `propagate` gives every AS its route, `forward` every PoP
its site, path and round-trip time. `reference` does both slowly and is what the others must equal.
"""

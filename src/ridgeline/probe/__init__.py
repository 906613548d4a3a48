"""Which site answers whom, by which path, and is it anycast at all: what is seen, not predicted.

RFC 4786 and RFC 7094 (anycast), RFC 4892 (CHAOS ``id.server``), RFC 5001 (NSID), RFC 792 and
RFC 4443 (ICMP). Runs beside production name servers: nothing here needs numpy, the model or the
planner.
"""

"""The Internet as arrays: ASes, PoPs, links and relationships; readers, a generator, built-ins.

Provider-customer and peer-peer relationships follow Gao, "On Inferring Autonomous System
Relationships in the Internet" (2001), as CAIDA's as-rel files write them.
"""

"""The one file: text in, the whole network out, or every problem at once.

::

    text ──document──> nodes with line and column ──_raw──> typed parts ──meaning──> Spec
                 └──────────────┴───────────────────┴──────────> Problems (all, in file order)

YAML 1.2 with scalars kept as text until the schema types them. Rules that come from a standard name
it: RFC 4271 and RFC 7454 (what may be announced), RFC 6890 (special-purpose addresses), RFC 7999
(BLACKHOLE), RFC 8326 (graceful shutdown), RFC 5880 (BFD).
"""

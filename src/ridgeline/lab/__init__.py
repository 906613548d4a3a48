"""The lab: an anycast network of real routers and servers in network namespaces on one machine.

A newcomer reads `plan` (the nouns), `layout` (how they are decided), `fabric` (how they are built),
`supervisor` (who owns them) and `watch.measure` (what clients see). The rooms inside, from below:
`kernel`, `links`, `material`, `services`, then around `fabric` `change`, `watch`, `flows`.

RFC 4271 (BGP), RFC 5880 (BFD), RFC 8326 (graceful shutdown), RFC 5001 (NSID) at work; the rules are
in `render`.
"""

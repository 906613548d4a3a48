"""The daemon at a site: announces while the services are healthy, withdraws or drains when not.

RFC 4271 (BGP), RFC 8326 (graceful shutdown), RFC 9003 (shutdown communication), RFC 5880 and 5881
(BFD), RFC 1035 (DNS checks), RFC 9110 (HTTP checks). It runs beside production name servers: no
numpy, and no room of Ridgeline above `spec`.
"""

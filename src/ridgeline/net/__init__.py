"""The nouns of inter-domain routing: AS numbers, communities, places.

RFC 6793 and RFC 5396 (AS numbers), RFC 1997 and RFC 8092 (communities).
"""

"""The real daemons accept our text and serve by it, on loopback and high ports."""

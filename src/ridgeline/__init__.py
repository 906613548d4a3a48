"""Ridgeline: describe an anycast network once; predict it, rehearse it, run it, check it."""

__version__ = "0.1.0"

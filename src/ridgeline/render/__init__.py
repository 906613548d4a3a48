"""Resolved values in, configuration text of real daemons out: a module for each daemon.

Nothing is left for the daemon to look up: names, paths and addresses were decided before.
"""

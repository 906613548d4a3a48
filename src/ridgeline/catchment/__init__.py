"""Catchment maps: which site each vantage point reaches, as predicted, rehearsed or observed.

RFC 4786 section 2 (catchment). Needs nothing but the standard library until a Parquet file is
asked for, so that probes can use it beside a production name server.
"""

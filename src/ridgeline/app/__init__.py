"""Use cases: what each command does, wired from the rooms below; the only place that does so."""

"""The same for all tests: how Hypothesis looks for examples."""

from hypothesis import HealthCheck, settings

# One commit, one verdict: the examples depend on the test alone, and no example is judged by how
# busy the machine is. `--hypothesis-profile=explore` looks where nobody has looked yet.
settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "explore", deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")

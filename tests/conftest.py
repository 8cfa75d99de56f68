"""Settings for the whole suite."""

import hypothesis

# Shared machines stall; a slow example is no failure.
hypothesis.settings.register_profile(
    "nnfs_xp",
    deadline=None,
    max_examples=50,
    # The fixture `backend` is the same for all examples of a test.
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("nnfs_xp")


def pytest_addoption(parser):
    parser.addoption("--kills", default="20", help="how often tests/test_kills.py kills")

"""The toy run of the engine's tests."""

from tests.test_engine.conftest import config, config_file  # noqa: F401

"""Fixtures of the daemon's tests."""

from tests.agent.at_home import here

__all__ = ["here"]

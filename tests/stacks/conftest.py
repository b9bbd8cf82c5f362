"""The secured stack runs the installation of the end-to-end tests."""

from tests.e2e.conftest import running

__all__ = ["running"]

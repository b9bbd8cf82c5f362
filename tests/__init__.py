"""The tests, by the folders of the product. A failed `assert` shows its values in every module."""

import pkgutil

import pytest

pytest.register_assert_rewrite(*(f"tests.{each.name}" for each in pkgutil.iter_modules(__path__)))

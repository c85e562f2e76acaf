"""The node that the planner's tests drive."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edgesched.core.plan.invariants import violations
from tests.unit.plan.driver import Driver


@pytest.fixture
def node() -> Iterator[Driver]:
    """A node W023 at a full hour; invariants are checked once more at the end."""
    driver = Driver()
    yield driver
    assert violations(driver.state) == []

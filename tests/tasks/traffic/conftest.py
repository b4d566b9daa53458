"""The clock of the blocks' tests."""

from __future__ import annotations

import pytest

from tests.blocks.conftest import FakeTime


@pytest.fixture
def fake_time() -> FakeTime:
    return FakeTime()

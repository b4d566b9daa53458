"""A fresh cluster for every test."""

from __future__ import annotations

import pytest

from tests.deployments.local.kubernetes.controllers.play import Play


@pytest.fixture
def play() -> Play:
    return Play()

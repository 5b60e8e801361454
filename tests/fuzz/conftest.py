"""The targets of the fuzzer are no part of what is installed: they are found in the checkout."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger

sys.path.append(str(Path(__file__).parents[2]))


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    """What is dropped is said once for each name, and there is no end of names here."""
    logger.disable("zmqbus.codec")
    yield
    logger.enable("zmqbus.codec")

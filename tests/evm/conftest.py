"""Fixtures of the contract tests: a fresh chain with everything deployed, and people with money."""

from collections.abc import Iterator
from typing import Any

import pytest

from protocol.signature import address_of
from tests.evm.embedded import Chain, key


@pytest.fixture(scope="session")
def _deployed() -> Chain:
    return Chain()


@pytest.fixture
def chain(_deployed: Chain) -> Iterator[Chain]:
    """Everything deployed with the default parameters; each test starts from there."""
    with _deployed.env.anchor():
        yield _deployed


@pytest.fixture
def rich(chain: Chain) -> Any:
    """`rich(name)` is (secret key, address) of somebody with a fortune."""

    def make(name: str) -> tuple[bytes, bytes]:
        secret = key(name)
        chain.give(address_of(secret))
        return secret, address_of(secret)

    return make

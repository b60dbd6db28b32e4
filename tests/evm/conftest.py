"""Fixtures of the contract tests: a fresh chain with everything deployed, and people with money."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import Phase, settings

from protocol.signature import address_of
from tests.evm.embedded import Chain, key

# For seeded bugs (`contracts/mutants`): that it fails is enough, nobody reads the example.
settings.register_profile("unshrunk", phases=(Phase.explicit, Phase.generate))


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

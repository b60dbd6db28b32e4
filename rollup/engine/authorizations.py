"""EIP-7702: accounts that let a contract's code stand for them, as a transaction's list asks.

py-evm's own takes a node that is not there for an authorization that is not valid, and goes on:
whoever left it out of a witness would have chosen what the transaction does.
"""

from collections.abc import Iterable
from typing import Any, Final

from eth_hash.auto import keccak

from protocol.errors import Malformed
from rollup.codec import strict
from rollup.engine.transaction import GAS_AUTHORIZATION, UINT64_MAX, recover

MAGIC: Final = b"\x05"
DELEGATION_PREFIX: Final = b"\xef\x01\x00"
DELEGATION_BYTES: Final = 23
GAS_EXISTING: Final = 12_500  # what an account costs that is there already
NOBODY: Final = bytes(20)


def process(state: Any, authorizations: Iterable[Any]) -> int:
    """Follow each that is valid, pass over the others; what is to be refunded, in gas."""
    refund = 0
    for each in authorizations:
        authority = _authority(each, state.execution_context.chain_id)
        if authority is None:
            continue
        state.mark_address_warm(authority)
        code = state.get_code(authority)
        if code and not is_delegation(code):
            continue
        if state.get_nonce(authority) != each.nonce:
            continue
        if state.account_exists(authority):
            refund += GAS_AUTHORIZATION - GAS_EXISTING
        if each.address == NOBODY:
            state.delete_code(authority)
        else:
            state.set_code(authority, DELEGATION_PREFIX + each.address)
        state.increment_nonce(authority)
    return refund


def is_delegation(code: bytes) -> bool:
    return len(code) == DELEGATION_BYTES and code.startswith(DELEGATION_PREFIX)


def _authority(given: Any, chain_id: int) -> bytes | None:
    """Who signed, if it is for this chain and a signature at all."""
    if given.chain_id not in (0, chain_id) or given.nonce >= UINT64_MAX or given.y_parity > 1:
        return None
    digest = keccak(MAGIC + strict.encode([given.chain_id, given.address, given.nonce]))
    try:
        return recover(digest, given.y_parity, given.r, given.s)
    except Malformed:
        return None

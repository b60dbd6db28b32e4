"""Wallets and what they send."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import coincurve
import rlp
from eth_hash.auto import keccak

from protocol.signature import address_of

CHAIN_ID = 9017
WALLETS = 10
WETH = bytes.fromhex("4200000000000000000000000000000000000006")  # the token: it stands everywhere
BALANCES_SLOT = 3  # of WETH9
FEE, TIP = 10**11, 10**9
TRANSFER = keccak(b"transfer(address,uint256)")[:4]
MESSENGER = bytes.fromhex("4200000000000000000000000000000000000007")
SEND_MESSAGE = keccak(b"sendMessage(address,bytes,uint32)")[:4]


@dataclass(frozen=True, slots=True)
class Workload:
    """What one transaction does; a block holds `weight` times fewer of it than of plain transfers.

    `call` gives recipient, value in wei and data, for a payee that is new each time.
    """

    gas: int
    weight: int
    call: Callable[[bytes], tuple[bytes, int, bytes]]


def _pay(payee: bytes) -> tuple[bytes, int, bytes]:
    return payee, 1, b""


def _pay_token(payee: bytes) -> tuple[bytes, int, bytes]:
    return WETH, 0, TRANSFER + payee.rjust(32, b"\0") + _word(5)


def _send_message(payee: bytes) -> tuple[bytes, int, bytes]:
    """100 bytes to L1: two proxies, their implementations, hashes, storage and four events."""
    head = SEND_MESSAGE + payee.rjust(32, b"\0") + _word(96) + _word(200_000)
    return MESSENGER, 0, head + _word(100) + (payee * 5).ljust(128, b"\0")


def _word(value: int) -> bytes:
    return value.to_bytes(32, "big")


WORKLOADS: Final = {
    "transfers": Workload(21_000, 1, _pay),
    "token transfers": Workload(100_000, 2, _pay_token),
    "messages to L1": Workload(250_000, 5, _send_message),
}


class Wallets:
    """Ten accounts, each transaction to an address that is new."""

    def __init__(self) -> None:
        self.secrets = [keccak(b"wallet %d" % number) for number in range(WALLETS)]
        self.addresses = [address_of(secret) for secret in self.secrets]
        self._nonces = [0] * WALLETS
        self._serial = itertools.count(1)

    def block(self, workload: str, size: int) -> list[bytes]:
        """Each wallet's together: then first come, first served and our order by tip are one."""
        return [self._sign(workload, number * WALLETS // size) for number in range(size)]

    def _sign(self, workload: str, at: int) -> bytes:
        work = WORKLOADS[workload]
        to, value, data = work.call(keccak(b"payee %d" % next(self._serial))[12:])
        fields = [CHAIN_ID, self._nonces[at], TIP, FEE, work.gas, to, value, data, []]
        self._nonces[at] += 1
        digest = keccak(b"\x02" + rlp.encode(fields))
        signature = coincurve.PrivateKey(self.secrets[at]).sign_recoverable(digest, hasher=None)
        numbers = [int.from_bytes(signature[at : at + 32], "big") for at in (0, 32)]
        return b"\x02" + bytes(rlp.encode([*fields, signature[64], *numbers]))

    def token_balances(self) -> dict[str, str]:
        """Storage of WETH that gives each wallet 10^24 units."""
        return {
            "0x" + keccak(bytes(12) + address + BALANCES_SLOT.to_bytes(32, "big")).hex(): hex(
                10**24
            )
            for address in self.addresses
        }

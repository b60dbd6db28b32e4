"""Wallets and what they send: transfers of money, transfers of a token."""

import itertools
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Workload:
    """`weight`: a block holds so many times fewer of it than of plain transfers."""

    gas: int
    weight: int


WORKLOADS = {"transfers": Workload(21_000, 1), "token transfers": Workload(100_000, 2)}


class Wallets:
    """Ten accounts in turn, each transaction to an address that is new."""

    def __init__(self) -> None:
        self.secrets = [keccak(b"wallet %d" % number) for number in range(WALLETS)]
        self.addresses = [address_of(secret) for secret in self.secrets]
        self._nonces = [0] * WALLETS
        self._serial = itertools.count(1)

    def sign(self, workload: str) -> bytes:
        serial = next(self._serial)
        at = serial % WALLETS
        payee = keccak(b"payee %d" % serial)[12:]
        to, value, data = payee, 1, b""
        if workload != "transfers":
            to, value = WETH, 0
            data = TRANSFER + payee.rjust(32, b"\0") + (5).to_bytes(32, "big")
        fields = [
            CHAIN_ID,
            self._nonces[at],
            TIP,
            FEE,
            WORKLOADS[workload].gas,
            to,
            value,
            data,
            [],
        ]
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

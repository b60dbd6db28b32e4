"""What an account has on one chain, and what gas costs there, asked now and then."""

import math
from dataclasses import dataclass
from typing import Final

import trio

from protocol.errors import Malformed, Refused, Temporary
from rollup.codec.hexadecimal import from_bytes, quantity
from rollup.ports import Call

POLL_SECONDS: Final = 30.0
COIN: Final = 10**18  # wei of one ether, or one OPEN
OPEN_WARN: Final = COIN // 10
BATCHES_WARN: Final = 20  # batch transactions that the ether on L1 still pays
GAS_BASE, GAS_PER_BYTE = 21_000, 40  # of a transaction full of data (EIP-7623)


@dataclass(slots=True)
class Funds:
    """None and NaN as long as nobody knows; `watch` keeps it fresh."""

    rpc: Call
    account: bytes
    wei: int | None = None
    gas_price: int = 0
    head: int | None = None  # number of the chain's newest block

    async def watch(self) -> None:
        while True:
            await self.refresh()
            await trio.sleep(POLL_SECONDS)

    async def refresh(self) -> None:
        """What the chain does not tell now is not known; who cannot do without says so himself."""
        try:
            head = await self.rpc.call("eth_blockNumber")
            balance = await self.rpc.call("eth_getBalance", from_bytes(self.account), "latest")
            price = await self.rpc.call("eth_gasPrice")
            self.head, self.gas_price = quantity(head), quantity(price, 256)
            self.wei = quantity(balance, 256)
        except (Temporary, Malformed, Refused):
            self.wei = self.head = None

    @property
    def coins(self) -> float:
        return math.nan if self.wei is None else self.wei / COIN

    @property
    def height(self) -> float:
        return math.nan if self.head is None else float(self.head)

    def batches_left(self, frame_bytes: int) -> float:
        """How many full batch transactions it pays at the present price of gas."""
        if self.wei is None:
            return math.nan
        each = self.gas_price * (GAS_BASE + GAS_PER_BYTE * frame_bytes)
        return float(self.wei // each) if each else math.inf

    def problem(self) -> str | None:
        """Of an account on the L2."""
        if self.wei is None or self.wei >= OPEN_WARN:
            return None
        account = from_bytes(self.account)
        return f"account {account} has {self.coins:.6f} OPEN left for gas; send it more"

    def l1_problem(self, frame_bytes: int) -> str | None:
        """Of a sequencer's account on L1."""
        left = self.batches_left(frame_bytes)
        if self.wei is None or (left >= BATCHES_WARN and self.wei):
            return None
        return (
            f"L1: account {from_bytes(self.account)} has {self.coins:.6f} ether, "
            f"{0 if math.isinf(left) else left:.0f} full batch transactions at the present price "
            "of gas; send it more"
        )

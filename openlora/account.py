"""The account of one (payer, adapter) at a host: a state machine without I/O.

    admit:  the voucher covers served + reserved + worst case    -> store, then generate
    settle: served grows by the fee, the reservation ends        -> store with the receipt, deliver
    release: the answer failed or its client left before a receipt

Each method returns the next account.  What `encode` gives must be on disk before the step it allows
is taken.  Reservations are not stored: after a crash nothing runs, and nobody has paid for it.
"""

from dataclasses import dataclass, replace

from openlora.pricing import Price, SignedVoucher, check_voucher, required
from protocol.codec import Reader, require, uint
from protocol.errors import Refused
from protocol.receipt import Voucher
from protocol.signature import SIGNATURE_BYTES

RESERVED_MAX = 64  # answers of one account at the same time


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """served[16] ++ present[1] ++ (voucher, signature[65], signer[20] if present)."""

    served: int = 0  # wei, all receipts so far: the receipts tile (0, served]
    best: SignedVoucher | None = None  # the highest voucher: what the host redeems
    reserved: tuple[int, ...] = ()  # wei, worst cases of the answers that run

    @property
    def cumulative(self) -> int:
        """Wei used or reserved."""
        return self.served + sum(self.reserved)

    def admit(
        self,
        signed: SignedVoucher,
        *,
        host: bytes,
        adapter: bytes,
        price: Price,
        input_tokens: int,
        output_tokens_max: int,
        backed: int,
    ) -> "Account":
        """Reserve the worst case against a voucher; see `check_voucher` for what is raised."""
        if len(self.reserved) >= RESERVED_MAX:
            raise Refused(f"{RESERVED_MAX} answers of this account are running, that is the limit")
        needed = required(self.cumulative, price, input_tokens, output_tokens_max)
        check_voucher(
            signed,
            host=host,
            adapter=adapter,
            cumulative=self.cumulative,
            required=needed,
            backed=backed,
        )
        worst = needed - self.cumulative
        higher = self.best is None or signed.voucher.cumulative > self.best.voucher.cumulative
        best = signed if higher else self.best
        return replace(self, best=best, reserved=(*self.reserved, worst))

    def settle(self, worst: int, amount: int) -> "Account":
        """The answer is done: it costs `amount` <= `worst`; its receipt ends at `served`."""
        assert 0 <= amount <= worst
        return replace(self.release(worst), served=self.served + amount)

    def release(self, worst: int) -> "Account":
        """The answer will not be paid."""
        left = list(self.reserved)
        left.remove(worst)
        return replace(self, reserved=tuple(left))

    def encode(self) -> bytes:
        head = uint(self.served, 16) + uint(self.best is not None, 1)
        if self.best is None:
            return head
        return head + self.best.voucher.encode() + self.best.signature + self.best.signer

    @classmethod
    def decode(cls, data: bytes) -> "Account":
        reader = Reader(data)
        served, present = reader.uint(16), reader.uint(1)
        require(present in (0, 1), "the presence byte is 0 or 1")
        best = None
        if present:
            voucher = Voucher.read(reader)
            best = SignedVoucher(voucher, reader.take(SIGNATURE_BYTES), reader.take(20))
        reader.end()
        return cls(served=served, best=best)

"""What an answer costs, and whether a voucher covers it.  All amounts in wei."""

from dataclasses import dataclass

from protocol.codec import require, require_uint
from protocol.errors import Refused
from protocol.parameters import BPS
from protocol.receipt import Voucher

PER = 1000  # prices are for so many tokens
PRICE_GRAIN = PER * BPS  # prices are multiples of it, so that every split of a fee is exact
FEE_GRAIN = BPS


class PaymentRequired(Refused):
    """The voucher is missing or too small: `required` is the cumulative that would do."""

    def __init__(self, why: str, *, required: int, cumulative: int) -> None:
        super().__init__(why)
        self.required, self.cumulative = required, cumulative


class NotThePayer(Refused):
    """The voucher is signed by another, or made out to another host or adapter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Of one adapter on one host; multiples of 10^7 wei a thousand tokens, 10^4 wei an answer."""

    input: int  # wei for 1000 prompt tokens
    output: int  # wei for 1000 generated tokens
    platform: int = 0  # wei for every answer

    def __post_init__(self) -> None:
        for name, value, grain in (
            ("input price", self.input, PRICE_GRAIN),
            ("output price", self.output, PRICE_GRAIN),
            ("platform fee", self.platform, FEE_GRAIN),
        ):
            require_uint(value, 96, name)
            require(value % grain == 0, f"{name} {value} is not a multiple of {grain} wei")

    def fee(self, input_tokens: int, output_tokens: int) -> int:
        """The fee of an answer (PROTOCOL.md 6); a multiple of 10^4 wei."""
        tokens = input_tokens * self.input + output_tokens * self.output
        assert tokens % PER == 0
        return tokens // PER + self.platform


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What a request may cost at most, and the voucher that admits it now."""

    price: Price
    input_tokens: int
    output_tokens_max: int
    cumulative: int  # what the payer's account has used or reserved
    required: int  # cumulative of the voucher that admits this request

    @property
    def amount_max(self) -> int:
        return self.required - self.cumulative


@dataclass(frozen=True, slots=True)
class SignedVoucher:
    """A voucher with its 65-byte signature; `signer` is who made it, as recovered at the border."""

    voucher: Voucher
    signature: bytes
    signer: bytes


def required(cumulative: int, price: Price, input_tokens: int, output_tokens_max: int) -> int:
    """The cumulative that covers the worst case on top of what is used or reserved."""
    return cumulative + price.fee(input_tokens, output_tokens_max)


def check_voucher(
    signed: SignedVoucher,
    *,
    host: bytes,
    adapter: bytes,
    cumulative: int,
    required: int,
    backed: int,
) -> None:
    """Raise unless the voucher pays for a request.

    `cumulative` is used or reserved on the account, `required` see above, `backed` the highest
    cumulative of this account that the payer's escrow can still redeem.
    """
    voucher = signed.voucher
    if signed.signer != voucher.payer:
        raise NotThePayer(
            f"the voucher of payer 0x{voucher.payer.hex()} is signed by 0x{signed.signer.hex()}"
        )
    if voucher.host != host:
        raise NotThePayer(f"the voucher pays host 0x{voucher.host.hex()}, not 0x{host.hex()}")
    if voucher.adapter != adapter:
        raise NotThePayer(
            f"the voucher is for adapter {voucher.adapter.hex()}, not {adapter.hex()}"
        )
    if voucher.cumulative < required:
        raise PaymentRequired(
            f"the voucher's cumulative is {voucher.cumulative} wei, this request needs {required}",
            required=required,
            cumulative=cumulative,
        )
    if voucher.cumulative > backed:
        raise PaymentRequired(
            f"the voucher's cumulative is {voucher.cumulative} wei, the payer's escrow backs "
            f"only {backed}",
            required=required,
            cumulative=cumulative,
        )

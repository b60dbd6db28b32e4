"""What transactions paid lately: eth_feeHistory."""

from typing import Any, Final

from rollup.engine import op_fields
from rollup.engine.chain import Chain
from rollup.engine.errors import INVALID_PARAMS, Failure
from rollup.engine.transaction import included
from rollup.engine.values import Block

TIP_SUGGESTED: Final = 10**9
TIP_OPTIMISM: Final = 10**6
"""On an OP chain with room in its blocks any tip enters (op-geth suggests as little)."""
FULL_PERCENT: Final = 90
HISTORY_BLOCKS_MAX: Final = 256
PERCENTILES_MAX: Final = 100


def next_base_fee_after(chain: Chain, block: Block) -> int:
    """What the block after `block` asks per gas, in wei."""
    return chain.next_base_fee(block.header)


def next_base_fee(chain: Chain) -> int:
    """What the next block will ask per gas, in wei."""
    return next_base_fee_after(chain, chain.head)


def tip(chain: Chain) -> int:
    """The tip to offer, in wei per gas, to enter one of the next blocks."""
    head = chain.head
    if not chain.optimism:
        return TIP_SUGGESTED
    if head.header.gas_used * 100 < head.header.gas_limit * FULL_PERCENT:
        return TIP_OPTIMISM
    median = int(_rewards(head, [50.0], chain.genesis.chain_id)[0], 16)
    return max(TIP_OPTIMISM, median + median // 10)


def gas_price(chain: Chain) -> int:
    """What a legacy transaction should offer to enter the next block."""
    return next_base_fee(chain) + tip(chain)


def read_percentiles(value: Any) -> list[float]:
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > PERCENTILES_MAX:
        raise Failure(INVALID_PARAMS, "invalid argument: percentiles must be a short list")
    numbers = [p for p in value if isinstance(p, int | float) and 0 <= p <= 100]
    if len(numbers) != len(value) or numbers != sorted(numbers):
        raise Failure(INVALID_PARAMS, "invalid argument: percentiles must rise from 0 to 100")
    return numbers


def history(chain: Chain, count: int, newest: int, percentiles: list[float]) -> dict[str, Any]:
    """Base fees (one more than blocks), used share of gas, and tips at gas-weighted percentiles."""
    first = max(0, newest - min(count, HISTORY_BLOCKS_MAX) + 1)
    blocks = [b for b in map(chain.blocks.block, range(first, newest + 1)) if b is not None]
    out: dict[str, Any] = {"oldestBlock": hex(first), "gasUsedRatio": [], "baseFeePerGas": []}
    if not blocks:
        return out
    out["gasUsedRatio"] = [b.header.gas_used / b.header.gas_limit for b in blocks]
    next_fee = next_base_fee_after(chain, blocks[-1])
    out["baseFeePerGas"] = [hex(b.header.base_fee or 0) for b in blocks] + [hex(next_fee)]
    out["baseFeePerBlobGas"] = ["0x1"] * (len(blocks) + 1)
    out["blobGasUsedRatio"] = [0.0] * len(blocks)
    if percentiles:
        out["reward"] = [_rewards(b, percentiles, chain.genesis.chain_id) for b in blocks]
    return out


def _rewards(block: Block, percentiles: list[float], chain_id: int) -> list[str]:
    base_fee = block.header.base_fee or 0
    signed = [
        (included(raw, chain_id, sender), receipt.gas_used)
        for raw, sender, receipt in zip(
            block.transactions, block.senders, block.receipts, strict=True
        )
        if not op_fields.is_deposit(raw)
    ]
    tips = sorted((tx.price(base_fee) - base_fee, gas) for tx, gas in signed)
    total, paid = 0, []
    for tip, gas in tips:
        total += gas
        paid.append((tip, total))
    rewards = []
    for percentile in percentiles:
        threshold = total * percentile / 100
        reached = (tip for tip, sum_to in paid if sum_to >= threshold)
        rewards.append(hex(next(reached, 0)))
    return rewards

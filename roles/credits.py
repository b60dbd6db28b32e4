"""What contracts owe to this operator: bonds of demands it answered or asked, rewards, payments,
and the bonds of what the validators had objected to."""

from protocol.calls import ClaimCredit, ReleaseBond
from protocol.ledger import FEATURES, ORACLE, Ledger
from roles.intents import pursue
from roles.ports import Ports

PATIENCE = 600  # seconds for which credits gather before one transaction takes them all
RETRY_SECONDS = 3_600


async def collect_credits(ports: Ports) -> None:
    """Claim every credit that has waited long enough, and every bond that may be had again.

    To be called at each head.
    """
    ledger, me = ports.chain.ledger, ports.signer.address
    if not ports.chain.live:
        return
    for (contract, owner), since in list(ledger.credits.items()):
        if owner == me and ledger.time >= since + PATIENCE:
            call = ClaimCredit(contract, me)
            await pursue(ports, f"credit/{contract}/{since}", call, RETRY_SECONDS)
    for (contract, subject), when in list(ledger.held.items()):
        if ledger.time >= when and poster_of(ledger, contract, subject) == me:
            stem = f"release/{contract}/{subject}/{when}"
            await pursue(ports, stem, ReleaseBond(contract, subject), RETRY_SECONDS)


def poster_of(ledger: Ledger, contract: str, subject: int) -> bytes:
    assert contract in (ORACLE, FEATURES)
    if contract == ORACLE:
        return ledger.batches[subject].poster
    return ledger.feature_sets[subject].poster

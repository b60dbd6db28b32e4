"""What contracts owe to this operator: bonds of demands it answered or asked, rewards, payments."""

from protocol.calls import ClaimCredit
from roles.intents import pursue
from roles.ports import Ports

PATIENCE = 600  # seconds for which credits gather before one transaction takes them all
RETRY_SECONDS = 3_600


async def collect_credits(ports: Ports) -> None:
    """Claim every credit that has waited long enough.  To be called at each head."""
    ledger, me = ports.chain.ledger, ports.signer.address
    if not ports.chain.live:
        return
    for (contract, owner), since in list(ledger.credits.items()):
        if owner == me and ledger.time >= since + PATIENCE:
            call = ClaimCredit(contract, me)
            await pursue(ports, f"credit/{contract}/{since}", call, RETRY_SECONDS)

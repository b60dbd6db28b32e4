"""Objections: what no transaction can prove wrong, validators may still not let become final."""

from protocol.calls import Object
from protocol.ledger import BatchRecord, FeatureSetRecord, Ledger, RoleBit
from roles.disclosures import BATCHES, FEATURES
from roles.intents import pursue
from roles.ports import Ports

LATE = 8  # what cannot be judged in the last window / LATE is objected to
CLAIM_SECONDS = 10  # that a bond which silence has lost needs to be claimed
RETRY_SECONDS = 10  # until a refused objection is tried again: there is little time


def is_late(ledger: Ledger, deadline: int, window: int) -> bool:
    """Whether it is too late to wait any longer for what is missing."""
    return ledger.time >= deadline - window // LATE


def is_answer_due(ledger: Ledger, batch: BatchRecord, window: int) -> bool:
    """Whether its poster will soon have lost the bond by silence, with time left to object.

    What is void cannot be slashed, so the claim of the bond goes first.
    """
    latest = batch.deadline - window // (2 * LATE)
    return any(
        key[:2] == (BATCHES, batch.batch)
        and ledger.time < demand.until + CLAIM_SECONDS
        and demand.until + CLAIM_SECONDS <= latest
        for key, demand in ledger.demands.items()
    )


async def object_to(ports: Ports, subject: BatchRecord | FeatureSetRecord) -> None:
    """Say on chain, once, that a pending batch or feature set must not be final.

    Nothing where this operator has no say: only who has been a validator since before the posting
    has one.
    """
    ledger, me = ports.chain.ledger, ports.signer.address
    if isinstance(subject, BatchRecord):
        contract, number, root = BATCHES, subject.batch, subject.header.data_root
    else:
        contract, number, root = FEATURES, subject.id, subject.features.root
    node = ledger.nodes.get(me)
    if not ports.chain.live or node is None or not node.roles & RoleBit.VALIDATOR:
        return
    if node.since >= subject.posted_at or ledger.objected(contract, number, me):
        return
    stem = f"object/{contract}/{number}/{root.hex()}"
    await pursue(ports, stem, Object(contract, number), RETRY_SECONDS)

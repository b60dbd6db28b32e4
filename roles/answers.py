"""Paid answers heard by gossip: checked, kept durably, read by whoever attributes or audits."""

from collections.abc import Iterator

from protocol.codec import require
from protocol.errors import Malformed
from protocol.ledger import Ledger, RoleBit
from protocol.messages import PaidAnswer
from protocol.receipt import Receipt, domain
from protocol.signature import Domain, recover
from roles.ports import Ports, Store

PREFIX = b"answers/"


def receipt_domain(ledger: Ledger) -> Domain:
    return domain(ledger.chain_id, ledger.contracts["InferenceEscrow"])


def check_answer(answer: PaidAnswer, ledger: Ledger) -> bytes:
    """The receipt's digest; `Malformed` unless a registered host signed it for a fee."""
    receipt = answer.receipt
    digest = receipt.digest(receipt_domain(ledger))
    require(recover(digest, answer.signature) == receipt.host, "not signed by its host")
    require(ledger.has_role(receipt.host, RoleBit.HOST), "its host is not registered")
    require(bool(receipt.output_size and receipt.amount), "an empty answer")
    return digest


def attributable(receipt: Receipt, ledger: Ledger) -> bool:
    """Whether the chain already holds what a batch with this receipt would be judged by."""
    adapter = ledger.adapters.get(receipt.adapter)
    paid = ledger.redeemed.get((receipt.payer, receipt.host, receipt.adapter), 0)
    return adapter is not None and paid >= receipt.cumulative


def keep(store: Store, digest: bytes, answer: PaidAnswer) -> None:
    store.write({PREFIX + digest: answer.encode()}, sync=True)


def kept(store: Store) -> Iterator[tuple[bytes, PaidAnswer]]:
    """(digest, answer) in the order of the digests."""
    for key, value in store.scan(PREFIX):
        yield key[len(PREFIX) :], PaidAnswer.decode(value)


async def collect(ports: Ports) -> None:
    """Keep every valid paid answer that is gossiped; the others are passed over."""
    inbox = ports.gossip.subscribe(PaidAnswer)
    async for received in inbox:
        answer: PaidAnswer = received.message
        try:
            digest = check_answer(answer, ports.chain.ledger)
        except Malformed:
            continue  # a host not yet confirmed here: its answer comes again by range sync
        if ports.store.get(PREFIX + digest) is None:
            keep(ports.store, digest, answer)

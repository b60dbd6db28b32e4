"""What a contributor earned, for which words of which answer, and the proof to claim it with."""

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from node.http.datanets import failure, guarded
from node.why.shelf import Shelf
from protocol.batch import Body
from protocol.claims import INFLUENCE_SLOT, REMAINDER
from protocol.ledger import BatchRecord, Status
from protocol.signature import Domain
from protocol.sumtree import ID_BITS, total_tree
from roles.answers import receipt_domain
from roles.batches import final_batches
from roles.ports import Ports

PATH = "/v1/rewards/{contributor:int}"
REASON_BYTES_MAX = 256  # of the words shown for one payment
REASONS_MAX = 1_000  # the newest; /v1/contributors/ID/earnings has all, in pages
BATCHES_MAX = 16  # whose bodies are read for them


def routes(ports: Ports, shelf: Shelf | None = None) -> list[BaseRoute]:
    shelf = shelf or Shelf()

    async def reward(request: Request) -> Response:
        contributor = int(request.path_params["contributor"])
        if contributor >> ID_BITS:
            return failure(404, "not_found", f"no contributor has number {contributor}")
        ledger = ports.chain.ledger
        where, claimed = receipt_domain(ledger), ledger.claimed.get(contributor, 0)
        final = final_batches(ledger)
        totals = dict((await shelf.body(ports, final[-1])).totals) if final else {}
        paying = await _paying(ports, shelf, contributor) if final else []
        bodies = [(batch.batch, await shelf.body(ports, batch)) for batch in paying]
        return JSONResponse(
            await ports.compute(earnings, contributor, claimed, totals, bodies, where)
        )

    return [Route(PATH, guarded(reward))]


async def _paying(ports: Ports, shelf: Shelf, contributor: int) -> list[BatchRecord]:
    """The newest final batches that paid a contributor, oldest first, a few of them."""
    await shelf.freshen(ports)
    found, payments = list[BatchRecord](), 0
    for one in shelf.earned(ports, contributor):
        if one.batch.status is Status.FINAL:
            payments += one.payments
            if (found and payments > REASONS_MAX) or len(found) == BATCHES_MAX:
                break
            found.append(one.batch)
    return found[::-1]


def earnings(
    contributor: int,
    claimed: int,
    totals: dict[int, int],
    bodies: Sequence[tuple[int, Body]],
    where: Domain,
) -> dict[str, Any]:
    """What all final batches came to, by the totals of the last one, with the reasons of some
    bodies; a second of hashing when many have earned."""
    tree = total_tree(totals)
    cumulative = totals.get(contributor, 0)
    return {
        "contributor": contributor,
        "cumulative": str(cumulative),
        "claimed": str(claimed),
        "due": str(cumulative - claimed),
        "root": tree.root.hash.hex(),
        "proof": [[node.hash.hex(), str(node.sum)] for node in tree.siblings(contributor)],
        "reasons": [
            reason
            for number, body in bodies
            for reason in reasons(number, body, contributor, where)
        ][-REASONS_MAX:],
        "earnings": f"/v1/contributors/{contributor}/earnings",
    }


def reasons(batch: int, body: Body, contributor: int, where: Domain) -> list[dict[str, Any]]:
    """Why each payment of a batch was made: answer, words, document, amount in wei."""
    found = []
    for _, entry in body.entries:
        if entry.contributor != contributor:
            continue
        answer, text = body.answers[entry.answer], body.texts[entry.answer]
        reason = {
            "batch": batch,
            "receipt": answer.receipt.digest(where).hex(),
            "amount": str(entry.value),
        }
        if entry.claim == REMAINDER:
            reason["words"] = None  # what no source earned goes to the treasury
        elif entry.slot == INFLUENCE_SLOT:
            one = body.influences[entry.claim]
            reason |= {"words": None, "example": one.example, "score": str(one.score)}
        else:
            claim = body.claims[entry.claim]
            holder = claim.who[entry.slot]
            words = text.output[claim.start : claim.end][:REASON_BYTES_MAX]
            reason |= {"words": words.decode(errors="replace"), "start": claim.start}
            reason |= {"length": claim.length, "bytes": claim.owned, "holders": len(claim.who)}
            reason |= {"shard": holder.shard, "document": holder.document}
        found.append(reason)
    return found

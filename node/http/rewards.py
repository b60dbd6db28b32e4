"""What a contributor earned, for which words of which answer, and the proof to claim it with."""

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from node.http.datanets import failure, guarded
from protocol.batch import Body
from protocol.claims import REMAINDER
from protocol.signature import Domain
from protocol.sumtree import ID_BITS, total_tree
from roles.answers import receipt_domain
from roles.batches import FinalBodies, final_batches
from roles.ports import Ports

PATH = "/v1/rewards/{contributor:int}"
REASON_BYTES_MAX = 256  # of the words shown for one payment


def routes(ports: Ports) -> list[BaseRoute]:
    final = FinalBodies()

    async def reward(request: Request) -> Response:
        contributor = int(request.path_params["contributor"])
        if contributor >> ID_BITS:
            return failure(404, "not_found", f"no contributor has number {contributor}")
        ledger = ports.chain.ledger
        where, claimed = receipt_domain(ledger), ledger.claimed.get(contributor, 0)
        bodies = [(batch.batch, await final.of(ports, batch)) for batch in final_batches(ledger)]
        return JSONResponse(await ports.compute(earnings, contributor, claimed, bodies, where))

    return [Route(PATH, guarded(reward))]


def earnings(
    contributor: int, claimed: int, bodies: Sequence[tuple[int, Body]], where: Domain
) -> dict[str, Any]:
    """What all final batches, oldest first, came to; a second of hashing when there are many."""
    totals = dict(bodies[-1][1].totals) if bodies else {}
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
        ],
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
        else:
            claim = body.claims[entry.claim]
            holder = claim.who[entry.slot]
            words = text.output[claim.start : claim.end][:REASON_BYTES_MAX]
            reason |= {"words": words.decode(errors="replace"), "start": claim.start}
            reason |= {"length": claim.length, "bytes": claim.owned, "holders": len(claim.who)}
            reason |= {"shard": holder.shard, "document": holder.document}
        found.append(reason)
    return found

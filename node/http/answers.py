"""Where the words of a paid answer come from, as whoever attributes it sees them."""

from collections import OrderedDict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from attribution.corpus import Corpus
from attribution.spans import Span, spans_of
from node.http.datanets import failure, guarded
from protocol.claims import owned_intervals
from protocol.messages import PaidAnswer
from protocol.parameters import Parameters
from roles.answers import Answers
from roles.corpora import Corpora
from roles.ports import Ports

PATH = "/v1/answers/{receipt}"
SHOWN_MAX = 512  # answers whose sources are kept: each costs a second to find again


def routes(ports: Ports, answers: Answers, corpora: Corpora) -> list[BaseRoute]:
    shown = OrderedDict[tuple[bytes, Parameters, int], dict[str, Any]]()  # the last used at the end

    async def sources(request: Request) -> Response:
        try:
            digest = bytes.fromhex(request.path_params["receipt"].removeprefix("0x"))
        except ValueError:
            return failure(400, "malformed", "a receipt is named by its digest in hex")
        answer = answers.by_digest.get(digest)
        if answer is None:
            return failure(404, "not_found", "this node has not heard of that receipt")
        ledger = ports.chain.ledger
        adapter = ledger.adapters.get(answer.receipt.adapter)
        if adapter is None:
            return failure(404, "not_found", "its adapter is not registered")
        key = digest, ledger.current, len(ledger.takedowns)
        if key not in shown:
            corpus = await corpora.of_adapter(ports, adapter, ledger.time)
            shown[key] = _shown(answer, await ports.compute(attribute, corpus, answer, key[1]))
            if len(shown) > SHOWN_MAX:
                shown.popitem(last=False)
        shown.move_to_end(key)
        return JSONResponse(shown[key])

    return [Route(PATH, guarded(sources))]


def attribute(corpus: Corpus, answer: PaidAnswer, rules: Parameters) -> list[Span]:
    return spans_of(corpus, answer.text.prompt, answer.text.output, rules)


def _shown(answer: PaidAnswer, spans: list[Span]) -> dict[str, Any]:
    owned = owned_intervals([(span.start, span.length) for span in spans])
    return {
        "prompt": answer.text.prompt.decode(errors="replace"),
        "text": answer.text.output.decode(errors="replace"),
        "bytes": len(answer.text.output),
        "amount": str(answer.receipt.amount),
        "spans": [
            {
                "start": span.start,
                "length": span.length,
                "own": [start, max(start, end)],
                "echo": bool(span.echo),
                "who": [
                    {"contributor": p.contributor, "shard": p.shard, "document": p.document}
                    for p in span.who
                ],
            }
            for span, (start, end, _, _) in zip(spans, owned, strict=True)
        ],
    }

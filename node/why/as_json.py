"""An explanation as JSON: the one form that the command, the page and other programs read.

docs/why.md is the schema.  Money is {"wei": text, "open": text}; hashes are 0x and hex digits.
"""

from collections.abc import Sequence
from typing import Any

from node.bridge.amounts import shown
from node.why.values import ExampleWhy, Explanation, Line, Source, SpanWhy, Split, Standing
from node.why.visible import decoded
from protocol.receipt import Receipt

SCHEMA = 1
WEIGHT_ONE = 10**8


def money(wei: int) -> dict[str, str]:
    return {"wei": str(wei), "open": f"-{shown(-wei)}" if wei < 0 else shown(wei)}


def explained_json(
    explained: Explanation, standing: Standing, payouts: dict[int, str]
) -> dict[str, Any]:
    """`payouts` are the addresses of contributors, by their numbers."""
    return {
        "schema": SCHEMA,
        "receipt": _hex(explained.digest),
        **_standing(standing),
        "parameters_version": explained.version,
        "adapter": {"id": _hex(explained.receipt.adapter), "name": explained.adapter_name},
        **_receipt(explained.receipt),
        "prompt": decoded(explained.prompt),
        "answer": decoded(explained.output),
        "answer_bytes": len(explained.output),
        "covered_bytes": explained.covered,
        "pieces": [
            {"bytes": [one.start, one.end], "span": one.span, "text": one.text}
            for one in explained.pieces
        ],
        "spans": [_span(span) for span in explained.spans],
        "influences": [_example(one) for one in explained.examples],
        "threshold": None if explained.line is None else _line(explained.line),
        "split": _split(explained.split),
        "contributors": _contributors(explained, payouts),
        "missing": list(explained.missing),
    }


def _standing(standing: Standing) -> dict[str, Any]:
    return {
        "status": standing.status,
        "reason": standing.reason,
        "batch": standing.batch,
        "answer_number": standing.answer,
        "poster": _hex(standing.poster),
        "transaction": _hex(standing.transaction),
        "deadline": standing.deadline,
        "as_of": standing.as_of,
    }


def _receipt(receipt: Receipt) -> dict[str, Any]:
    return {
        "fee": money(receipt.amount),
        "host": _hex(receipt.host),
        "payer": _hex(receipt.payer),
        "base": _hex(receipt.base),
        "prompt_tokens": receipt.prompt_tokens,
        "output_tokens": receipt.output_tokens,
    }


def _span(span: SpanWhy) -> dict[str, Any]:
    return {
        "claim": span.claim,
        "start": span.start,
        "length": span.length,
        "owned": [span.own_start, span.own_end],
        "owned_bytes": span.owned,
        "quoted_at": span.quoted_at,
        "weight": f"{span.weight / WEIGHT_ONE:g}",
        "common": span.common,
        "amount": money(span.amount),
        "sources": [_source(source) for source in span.sources],
    }


def _source(source: Source) -> dict[str, Any]:
    return {
        "contributor": source.contributor,
        "shard": source.shard,
        "document": source.document,
        "position": source.position,
        "title": source.title,
        "amount": money(source.amount),
    }


def _example(one: ExampleWhy) -> dict[str, Any]:
    return {
        "example": one.example,
        "contributor": one.contributor,
        "shard": one.shard,
        "document": one.document,
        "text": one.text,
        "score": str(one.score),
        "sigmas": hundredths(one.sigmas),
        "sigmas_exact": one.exact,
        "amount": money(one.amount),
        "unpaid": one.unpaid or None,
    }


def _line(line: Line) -> dict[str, Any]:
    return {
        "sigmas": hundredths(line.sigmas),
        "score": str(line.score),
        "listed_max": line.listed_max,
        "examples": line.examples,
        "under": [_example(one) for one in line.under],
    }


def _split(split: Split) -> dict[str, Any]:
    return {
        "fee": money(split.fee),
        "platform": money(split.platform),
        "model": {"host": money(split.host), "owner": money(split.owner)},
        "stakers": money(split.stakers),
        "contributors": {
            "all": money(split.contributors),
            "spans": money(split.spans),
            "influences": money(split.influences),
            "treasury": money(split.treasury),
        },
    }


def _contributors(explained: Explanation, payouts: dict[int, str]) -> list[dict[str, Any]]:
    """Everybody named, the best paid first: what each earns in all, and by what."""
    spans, examples = dict[int, int](), dict[int, int]()
    for span in explained.spans:
        for source in span.sources:
            spans[source.contributor] = spans.get(source.contributor, 0) + source.amount
    for one in explained.examples:
        examples[one.contributor] = examples.get(one.contributor, 0) + one.amount
    rows = [(spans.get(who, 0), examples.get(who, 0), who) for who in {**spans, **examples}]
    rows.sort(key=lambda row: (-row[0] - row[1], row[2]))
    return [
        {
            "contributor": who,
            "payout": payouts.get(who),
            "amount": money(words + moved),
            "spans": money(words),
            "influences": money(moved),
        }
        for words, moved, who in rows
    ]


def named(explained: Explanation) -> set[int]:
    """The contributors whose addresses are wanted."""
    holders = {source.contributor for span in explained.spans for source in span.sources}
    return holders | {one.contributor for one in _examples(explained)}


def _examples(explained: Explanation) -> Sequence[ExampleWhy]:
    under = () if explained.line is None else explained.line.under
    return (*explained.examples, *under)


def hundredths(value: int) -> str:
    return f"{value // 100}.{value % 100:02}"


def _hex(data: bytes | None) -> str | None:
    return None if data is None else "0x" + data.hex()

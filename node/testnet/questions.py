"""The questions of the story: asked, paid by vouchers, and explained at its end."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import trio

from node.http.payment import PAYER, RECEIPT, VOUCHER, read_receipt_header, write_voucher
from node.testnet.client import NodeRefused
from node.testnet.docstrings import heading
from node.testnet.show import open_
from node.testnet.stage import Stage, node_of
from node.why.terminal import Terminal
from protocol import calls
from protocol.parameters import OPEN
from protocol.receipt import Voucher
from protocol.receipt import domain as receipt_domain

MODEL = "python-docs"
DEPOSIT = 100 * OPEN
DEPOSIT_SECONDS = 60.0  # in which a host must have seen a confirmed deposit
PAUSE_SECONDS = 0.5


@dataclass(frozen=True)
class Question:
    """The heading of a piece of documentation; before it, maybe, `quoted` bytes of that piece."""

    module: str
    name: str
    tokens: int  # of the answer, at most
    quoted: int = 0

    def text(self, stage: Stage) -> str:
        title = heading(self.module, self.name)
        piece = f"{self.module}.{self.name}"
        whole = next(text.data for text in stage.texts if text.title == piece).decode()
        at = whole.index(title) + len(title)
        return (whole[at : at + self.quoted] + "\n\n" if self.quoted else "") + title


QUESTIONS = (
    Question("bisect", "bisect_left", 80),  # two contributors have it: one copied the other
    Question("tempfile", "mkdtemp", 80),
    Question("functools", "wraps", 32, quoted=200),  # nobody is paid for what the asker quoted
    Question("functools", "reduce", 5),  # too short to quote anybody: all is paid by influence
)


async def ask(stage: Stage) -> list[dict[str, Any]]:
    """Deposit once, then pay each answer by a voucher of its own."""
    host = stage.folder.signer(node_of(stage, "host").name).address
    await stage.desk.pay("deposit", calls.Deposit(host, DEPOSIT))
    payer = stage.folder.payer.address
    await stage.desk.until(lambda: stage.desk.ledger.available(payer, host), "the deposit")
    return [await _ask_one(stage, question) for question in QUESTIONS]


async def _ask_one(stage: Stage, question: Question) -> dict[str, Any]:
    url, prompt = stage.folder.url(node_of(stage, "host").name), question.text(stage)
    body = {"model": MODEL, "prompt": prompt, "max_tokens": question.tokens, "temperature": 0}
    payer = "0x" + stage.folder.payer.address.hex()
    quote, _ = await stage.client.post(f"{url}/v1/openledger/quote", body, {PAYER: payer})
    header = {VOUCHER: _voucher(stage, quote)}
    answer, headers = await _paid(stage, f"{url}/v1/completions", body, header)
    receipt, _ = read_receipt_header(headers[RECEIPT])
    where = receipt_domain(
        stage.desk.ledger.chain_id, stage.desk.ledger.contracts["InferenceEscrow"]
    )
    digest = receipt.digest(where).hex()
    shown = await _sources(stage, digest)
    names = stage.names
    stage.show.answer(prompt, shown, names)
    stage.show.say(
        f"  paid {open_(receipt.amount)} OPEN for {receipt.prompt_tokens} + "
        f"{receipt.output_tokens} tokens, receipt {digest[:16]}…"
    )
    return {
        "question": prompt,
        "text": answer["choices"][0]["text"],
        "receipt": digest,
        "amount": str(receipt.amount),
        "spans": [_span(span, names) for span in shown["spans"]],
    }


async def _paid(
    stage: Stage, url: str, body: Mapping[str, Any], header: Mapping[str, str]
) -> tuple[Any, Mapping[str, str]]:
    """Ask; the host may see the deposit a block later than we do."""
    deadline = trio.current_time() + DEPOSIT_SECONDS
    while True:
        try:
            return await stage.client.post(url, body, header)
        except NodeRefused as error:
            if error.status != 402 or trio.current_time() > deadline:
                raise
        await trio.sleep(PAUSE_SECONDS)


def _voucher(stage: Stage, quote: Mapping[str, Any]) -> str:
    """What the quote asks for, signed by the payer."""
    voucher = Voucher(
        stage.folder.payer.address,
        bytes.fromhex(quote["host"][2:]),
        bytes.fromhex(quote["adapter"][2:]),
        int(quote["required"]),
    )
    where = receipt_domain(int(quote["chain_id"]), bytes.fromhex(quote["escrow"][2:]))
    return write_voucher(voucher, stage.folder.payer.sign(voucher.digest(where)))


async def _sources(stage: Stage, digest: str) -> dict[str, Any]:
    """The validator's view of the answer, as soon as it has heard of it."""
    url = f"{stage.folder.url(node_of(stage, 'validator').name)}/v1/answers/{digest}"
    while True:
        try:
            shown: dict[str, Any] = await stage.client.get(url)
            return shown
        except NodeRefused as error:
            if error.status != 404:
                raise
        await trio.sleep(PAUSE_SECONDS)


def _span(span: Mapping[str, Any], names: Mapping[int, str]) -> dict[str, Any]:
    first = span["who"][0]
    return {
        "start": span["start"],
        "length": span["length"],
        "bytes": max(0, span["own"][1] - span["own"][0]),
        "echo": span["echo"],
        "source": {"shard": first["shard"], "document": first["document"]},
        "contributor": names.get(first["contributor"], str(first["contributor"])),
        "contributors": [names.get(w["contributor"], str(w["contributor"])) for w in span["who"]],
    }


async def explain(stage: Stage, answers: list[dict[str, Any]]) -> dict[str, Any]:
    """Explain the answers that are paid most by words and by influence, as `openledger why` does;
    the JSON of the latter."""
    url = stage.folder.url(node_of(stage, "validator").name)
    told = [await stage.client.get(f"{url}/v1/receipts/{row['receipt']}/why") for row in answers]
    show, shown = Terminal(stage.show.console, stage.names), dict[str, Any]()
    for kind in ("spans", "influences"):
        shown = max(told, key=functools.partial(_paid_by, kind))
        show.why(shown)
        name = shown["receipt"].removeprefix("0x")
        stage.show.say(f"\nthe same by: openledger why {name[:12]} --node {url}")
        stage.show.say(f"as a page: {url}/why/{name}\n")
    if shown["contributors"]:
        who = shown["contributors"][0]["contributor"]
        stage.show.say(f"all that {stage.names[who]} earned: {url}/earnings/{who}")
    return shown


def _paid_by(kind: str, why: Mapping[str, Any]) -> int:
    return int(why["split"]["contributors"][kind]["wei"])

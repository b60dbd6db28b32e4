"""The story: data, model, paid answers, attribution, every lie and its slash, the reward."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import trio

from node.http.payment import PAYER, RECEIPT, VOUCHER, read_receipt_header, write_voucher
from node.testnet.accounts import paid_rows
from node.testnet.client import NodeRefused, as_operator
from node.testnet.convictions import watch_lies
from node.testnet.derived import compare, deriving
from node.testnet.docstrings import COPYIST, heading
from node.testnet.folder import LIAR, NodeSpec
from node.testnet.show import open_
from node.testnet.stage import Stage, train_base
from node.testnet.withdrawal import Withdrawal
from protocol import calls
from protocol.datanet import Contribution, domain, terms_of
from protocol.ledger import BatchRecord, Ledger, Status
from protocol.merkle import TEXT, byte_root
from protocol.parameters import OPEN
from protocol.receipt import Voucher
from protocol.receipt import domain as receipt_domain
from protocol.sumtree import Node
from protocol.text import canonical

DATANET, LICENCE, MODEL = "python-docs", "PSF-2.0", "python-docs"
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
        whole = next(text.data for text in stage.texts if text.title == self.module).decode()
        at = whole.index(title) + len(title)
        return (whole[at : at + self.quoted] + "\n\n" if self.quoted else "") + title


QUESTIONS = (
    Question("bisect", "bisect_left", 80),  # two contributors have it: one copied the other
    Question("tempfile", "mkdtemp", 80),
    Question("functools", "wraps", 32, quoted=200),  # nobody is paid for what the asker quoted
)


async def play(stage: Stage, *, adapter_steps: int) -> dict[str, Any]:
    """The whole story once; its data as `--json` prints it."""
    show, by_role = stage.show, {node.role: node for node in stage.nodes if not node.lies}
    show.chapter("1. A network of nodes")
    await stage.start(by_role["curator"], by_role["validator"])
    table(stage)
    show.chapter("2. People contribute their texts to a Datanet")
    datanet = await contribute(stage)
    show.chapter("3. A base model, and an adapter of it trained on the Datanet")
    await train_base(stage)
    await stage.start(by_role["host"], LIAR)
    await fine_tune(stage, datanet, adapter_steps)
    show.chapter("4. Three paid questions")
    answers = await ask(stage)
    async with trio.open_nursery() as nursery:
        going_home = Withdrawal(stage)
        nursery.start_soon(going_home.run)
        show.chapter("5. A prover lies in every way there is, and is caught")
        lies = await watch_lies(stage)
        show.chapter("6. An honest prover joins, catches up and attributes the answers")
        await stage.start(by_role["prover"])
        await attribute(stage, answers)
        show.chapter("7. Everybody is paid")
        paid = await pay_out(stage)
        show.chapter("8. Money leaves through the portal, and all nodes derived one chain")
        await going_home.done.wait()
    withdrawn = going_home.report
    show.say(
        f"withdrawn: {open_(int(withdrawn['amount']))} OPEN, {withdrawn['stage']}; proven there "
        f"against an output that covers L2 block {withdrawn['l2_block']}"
    )
    chains = await compare(stage.folder, deriving(stage.folder, stage.processes))
    show.chains(chains)
    return {"answers": answers, "lies": lies, **paid, "withdrawal": withdrawn, "chains": chains}


def table(stage: Stage) -> None:
    """Who is on this network and where."""
    rows = [
        (
            node.name,
            node.role + (" (lies)" if node.lies else ""),
            "0x" + stage.operator(node).hex(),
            stage.folder.url(node.name),
        )
        for node in stage.nodes
    ]
    stage.show.nodes(rows)


# ---------------------------------------------------------------- data


async def contribute(stage: Stage) -> int:
    """Create the Datanet, send every text, see what is refused, publish; the Datanet's number."""
    curator = _node(stage, "curator")
    url, operator = stage.folder.url(curator.name), as_operator(stage.folder, curator)
    await stage.client.post(f"{url}/v1/datanets", {"name": DATANET}, operator)
    number_ = await stage.desk.until(lambda: _datanet(stage.desk.ledger), "the Datanet")
    place = f"{url}/v1/datanets/{number_}"
    if not stage.desk.ledger.shards.get(number_):
        await _send_texts(stage, place, number_)
        try:
            await stage.client.post(f"{place}/publish", {}, operator)
        except NodeRefused as error:
            if error.status != 409:  # it was asked already, and then killed
                raise
    rows = await stage.desk.until(lambda: stage.desk.ledger.shards.get(number_), "the shard")
    shard = rows[0].shard
    stage.show.say(
        f"published as shard 0: {shard.document_count} documents, {shard.text_size:,} bytes, text "
        f"root {shard.text_root.hex()[:16]}…; it is final when the challenge window has passed"
    )
    return int(number_)


def _datanet(ledger: Ledger) -> int | None:
    rows = ledger.datanets.values()
    return next((row.datanet for row in rows if row.name == DATANET), None)


async def _send_texts(stage: Stage, place: str, datanet: int) -> None:
    with stage.show.bar("sending contributions") as bar:
        for nonce, text in enumerate(stage.texts):
            body = _contribution(stage, datanet, nonce, text.author, text.data)
            try:
                await stage.client.post(f"{place}/contributions", body)
            except NodeRefused as error:
                if error.kind != "duplicate":  # it was accepted before a restart
                    raise
            bar(nonce + 1, len(stage.texts))
    copied = _contribution(stage, datanet, 900, COPYIST, stage.texts[0].data)
    broken = {**copied, "text": None, "data": "/////w=="}
    for body in (copied, broken):
        try:
            await stage.client.post(f"{place}/contributions", body)
        except NodeRefused as error:
            stage.show.trouble(f"{error.kind}: {error}")


def _contribution(
    stage: Stage, datanet: int, nonce: int, author: str, data: bytes
) -> dict[str, Any]:
    text = canonical(data)
    signer, ledger = stage.folder.signer(author), stage.desk.ledger
    terms = terms_of("text/markdown", LICENCE)
    who = stage.contributor(author)
    signed = Contribution(datanet, byte_root(TEXT, text), len(text), terms, who, nonce)
    where = domain(ledger.chain_id, ledger.contracts["DatanetRegistry"])
    return {
        "text": data.decode(),
        "media_type": "text/markdown",
        "licence": LICENCE,
        "content_root": signed.content_root.hex(),
        "length": signed.length,
        "terms": terms.hex(),
        "contributor": who,
        "nonce": nonce,
        "signature": signer.sign(signed.digest(where)).hex(),
    }


# ---------------------------------------------------------------- model


async def fine_tune(stage: Stage, datanet: int, steps: int) -> None:
    ledger = stage.desk.ledger
    await stage.desk.until(lambda: stage.desk.ledger.final_shards(datanet), "a final shard")
    url = stage.folder.url(_node(stage, "host").name) + "/v1/fine_tuning/jobs"
    if ledger.adapter_named(MODEL) is None:
        job = {"name": MODEL, "datanet": datanet, "shards": 1, "steps": steps}
        await stage.client.post(url, job, as_operator(stage.folder, _node(stage, "host")))
        with stage.show.bar("fine-tuning the adapter") as bar:
            while True:
                shown = await stage.client.get(f"{url}/{MODEL}")
                bar(shown["step"], shown["steps"], f"{shown['status']}, "
                    f"loss {shown['loss_micro'] / 1e6:.2f}")  # fmt: skip
                if shown["status"] in ("succeeded", "failed"):
                    break
                await trio.sleep(PAUSE_SECONDS)
        if shown["error"]:
            raise NodeRefused(409, "failed", shown["error"])
    models = stage.folder.url(_node(stage, "host").name) + "/v1/models"
    while not (await stage.client.get(models))["data"]:  # noqa: ASYNC110
        await trio.sleep(PAUSE_SECONDS)
    adapter = stage.desk.ledger.adapter_named(MODEL)
    assert adapter is not None
    stage.show.say(f"adapter {MODEL}: sha256 {adapter.adapter.hex()}, registered and served")


# ---------------------------------------------------------------- answers


async def ask(stage: Stage) -> list[dict[str, Any]]:
    """Deposit once, then pay each answer by a voucher of its own."""
    host = stage.folder.signer(_node(stage, "host").name).address
    await stage.desk.pay("deposit", calls.Deposit(host, DEPOSIT))
    payer = stage.folder.payer.address
    await stage.desk.until(lambda: stage.desk.ledger.available(payer, host), "the deposit")
    return [await _ask_one(stage, question) for question in QUESTIONS]


async def _ask_one(stage: Stage, question: Question) -> dict[str, Any]:
    url, prompt = stage.folder.url(_node(stage, "host").name), question.text(stage)
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
    url = f"{stage.folder.url(_node(stage, 'validator').name)}/v1/answers/{digest}"
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


# ---------------------------------------------------------------- rewards


async def attribute(stage: Stage, answers: list[dict[str, Any]]) -> None:
    """Wait for a final batch; three answers may need more than one."""
    pending = await stage.desk.until(functools.partial(_newest, stage), "an honest batch")
    stage.show.say(
        f"batch {pending.batch}: {pending.header.answer_count} answers, "
        f"{pending.header.claim_count} claims, {open_(pending.header.total)} OPEN; its window is "
        f"{stage.folder.window} s"
    )
    await stage.desk.until(functools.partial(_all_final, stage, len(answers)), "a final batch")


def _newest(stage: Stage) -> BatchRecord | None:
    ledger = stage.desk.ledger
    return ledger.pending_batch() or ledger.last_final_batch()


def _all_final(stage: Stage, answers: int) -> bool:
    batches = stage.desk.ledger.batches.values()
    final = [b.header.answer_count for b in batches if b.status is Status.FINAL]
    return sum(final) >= answers


async def pay_out(stage: Stage) -> dict[str, Any]:
    """Claim for everybody, then say who got what and why, and check the sum."""
    url = stage.folder.url(_node(stage, "validator").name)
    ids = [0, *sorted(stage.names)]
    rewards = await _rewards(stage, url, ids)
    proofs = tuple(
        calls.RewardProof(who, int(row["cumulative"]), _proof(row["proof"]))
        for who, row in zip(ids, rewards, strict=True)
        if int(row["due"])
    )
    if proofs:
        root = rewards[0]["root"]
        await stage.desk.send(f"claim/{root[:32]}", calls.Claim(proofs))
    expected = {who: int(row["cumulative"]) for who, row in zip(ids, rewards, strict=True)}
    await stage.desk.until(lambda: _claimed(stage, expected), "the claims")
    claimed = dict(stage.desk.accounts.claimed)
    paid = paid_rows(rewards, stage.names, claimed)
    sums = stage.desk.accounts.sums()
    stage.show.paid(paid)
    stage.show.sums(sums)
    return {"paid": paid, "sums": sums}


async def _rewards(stage: Stage, url: str, ids: list[int]) -> list[Any]:
    """What the node says that everybody earned, once it has seen the batch that we saw final."""
    while True:
        rows = [await stage.client.get(f"{url}/v1/rewards/{who}") for who in ids]
        if sum(int(row["cumulative"]) for row in rows) == stage.desk.ledger.allocated:
            return rows
        await trio.sleep(PAUSE_SECONDS)


def _claimed(stage: Stage, expected: Mapping[int, int]) -> bool:
    claimed = stage.desk.accounts.claimed
    return all(claimed.get(who, 0) == value for who, value in expected.items())


def _proof(rows: list[list[str]]) -> tuple[Node, ...]:
    return tuple(Node(bytes.fromhex(hash_), int(total)) for hash_, total in rows)


def _node(stage: Stage, role: str) -> NodeSpec:
    """The first honest node of a role."""
    return next(node for node in stage.nodes if node.role == role and not node.lies)

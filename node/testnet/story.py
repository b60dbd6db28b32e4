"""The story: data, model, paid answers, attribution, every lie and its slash, the reward."""

import functools
from collections.abc import Mapping
from typing import Any

import trio

from node.testnet.accounts import paid_rows
from node.testnet.client import NodeRefused, as_operator
from node.testnet.convictions import watch_lies
from node.testnet.derived import compare, deriving
from node.testnet.docstrings import COPYIST
from node.testnet.folder import LIAR
from node.testnet.questions import MODEL, ask, explain
from node.testnet.show import open_
from node.testnet.stage import Stage, node_of
from node.testnet.withdrawal import Withdrawal
from protocol import calls
from protocol.datanet import Contribution, domain, terms_of
from protocol.ledger import BatchRecord, Ledger, Status
from protocol.merkle import TEXT, byte_root
from protocol.sumtree import Node
from protocol.text import canonical

DATANET, LICENCE = "python-docs", "PSF-2.0"
PAUSE_SECONDS = 0.5
HOST_SECONDS = 120.0  # in which a host must have followed the chain to where we are


async def play(stage: Stage, *, adapter_steps: int) -> dict[str, Any]:
    """The whole story once; its data as `--json` prints it."""
    show, by_role = stage.show, {node.role: node for node in stage.nodes if not node.lies}
    show.chapter("1. A base model, and a network of nodes")
    await stage.training.wait(show)
    await stage.start(by_role["curator"], by_role["validator"])
    table(stage)
    show.chapter("2. People contribute their texts to a Datanet")
    datanet = await contribute(stage)
    show.chapter("3. An adapter of the base model trained on the Datanet, and what it learned from")
    await stage.start(by_role["host"])
    await fine_tune(stage, datanet, adapter_steps)
    features = await publish_features(stage)
    show.chapter("4. Paid questions")
    answers = await ask(stage)
    await features_in_force(stage)
    async with trio.open_nursery() as nursery:
        going_home = Withdrawal(stage)
        nursery.start_soon(going_home.run)
        show.chapter("5. A prover lies in every way there is, and is caught")
        await stage.start(LIAR)
        lies = await watch_lies(stage)
        show.chapter("6. An honest prover joins, catches up and attributes the answers")
        await stage.start(by_role["prover"])
        await attribute(stage, answers)
        show.chapter("7. Everybody is paid")
        paid = await pay_out(stage)
        show.chapter("8. Why: what one answer was made from")
        told = await explain(stage, answers)
        show.chapter("9. Money leaves through the portal, and all nodes derived one chain")
        await going_home.done.wait()
    withdrawn = going_home.report
    show.say(
        f"withdrawn: {open_(int(withdrawn['amount']))} OPEN, {withdrawn['stage']}; proven there "
        f"against an output that covers L2 block {withdrawn['l2_block']}"
    )
    chains = await compare(stage.folder, deriving(stage.folder, stage.processes))
    show.chains(chains)
    return {
        "answers": answers,
        "features": features,
        "lies": lies,
        **paid,
        "why": told,
        "withdrawal": withdrawn,
        "chains": chains,
    }


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
    curator = node_of(stage, "curator")
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
    await _seen(stage, stage.desk.ledger.number)
    url = stage.folder.url(node_of(stage, "host").name) + "/v1/fine_tuning/jobs"
    if ledger.adapter_named(MODEL) is None:
        job = {"name": MODEL, "datanet": datanet, "shards": 1, "steps": steps}
        await stage.client.post(url, job, as_operator(stage.folder, node_of(stage, "host")))
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
    models = stage.folder.url(node_of(stage, "host").name) + "/v1/models"
    while not (await stage.client.get(models))["data"]:  # noqa: ASYNC110
        await trio.sleep(PAUSE_SECONDS)
    adapter = stage.desk.ledger.adapter_named(MODEL)
    assert adapter is not None
    stage.show.say(f"adapter {MODEL}: sha256 {adapter.adapter.hex()}, registered and served")


async def _seen(stage: Stage, block: int) -> None:
    """Wait until the host has followed the chain as far: it may have begun just now."""
    url = stage.folder.url(node_of(stage, "host").name) + "/status"
    with trio.fail_after(HOST_SECONDS):
        while (await stage.client.get(url))["chain"]["block"] < block:  # noqa: ASYNC110
            await trio.sleep(PAUSE_SECONDS)


async def publish_features(stage: Stage) -> dict[str, Any]:
    """Watch the host compute the features of its adapter's examples, and put them on chain."""
    adapter = stage.desk.ledger.adapter_named(MODEL)
    assert adapter is not None
    url = stage.folder.url(node_of(stage, "host").name) + "/status"
    with stage.show.bar("computing the features of its examples") as bar:
        while (record := stage.desk.ledger.feature_set(adapter.adapter)) is None:
            told = (await stage.client.get(url)).get("features", {}).get(MODEL)
            if told is not None:
                bar(*told)
            await trio.sleep(PAUSE_SECONDS)
        bar(1, 1)
    ledger = stage.desk.ledger
    seed = ledger.seeds[adapter.adapter].hex()
    stage.show.say(
        f"feature set {record.id}: {record.example_count} examples of {record.features.size:,} "
        f"bytes in all, seeded by a block after the data: {seed[:16]}…; validators compute some "
        "of them again, and it counts when its challenge window has passed"
    )
    return {
        "id": record.id,
        "examples": record.example_count,
        "root": record.features.root.hex(),
        "seed": seed,
    }


async def features_in_force(stage: Stage) -> None:
    adapter = stage.desk.ledger.adapter_named(MODEL)
    assert adapter is not None
    name = adapter.adapter

    def counts() -> bool:
        ledger = stage.desk.ledger
        return ledger.features_in_force(name, ledger.time) is not None

    await stage.desk.until(counts, "the features in force")


# ---------------------------------------------------------------- rewards


async def attribute(stage: Stage, answers: list[dict[str, Any]]) -> None:
    """Wait until several batches pend on each other, and then until they are final."""
    batches = await stage.desk.until(
        functools.partial(_all_live, stage, len(answers)), "honest batches of all answers"
    )
    stage.show.batches(
        [
            (row.batch, row.header.answer_count, row.header.claim_count,
             row.header.influence_count, row.header.total, row.status.name.lower())
            for row in batches
        ]
    )  # fmt: skip
    stage.show.say(f"each is final {stage.folder.window} s after its posting, in their order")
    await stage.desk.until(functools.partial(_all_final, stage, len(answers)), "final batches")


def _all_live(stage: Stage, answers: int) -> list[BatchRecord]:
    """The batches that stand, once they have all answers."""
    batches = stage.desk.ledger.batches.values()
    live = [row for row in batches if row.status in (Status.PENDING, Status.FINAL)]
    return live if sum(row.header.answer_count for row in live) >= answers else []


def _all_final(stage: Stage, answers: int) -> bool:
    live = _all_live(stage, answers)
    return bool(live) and all(row.status is Status.FINAL for row in live)


async def pay_out(stage: Stage) -> dict[str, Any]:
    """Claim for everybody, then say who got what and why, and check the sum."""
    url = stage.folder.url(node_of(stage, "validator").name)
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

"""Explanations and earnings over HTTP: from the bodies that a node holds, bounded, escaped."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import trio
import trio.testing
from starlette.applications import Starlette

from attribution.claims import Answered, build_body
from attribution.corpus import Corpus
from attribution.influence.scores import influences_of
from attribution.influence.store import FeatureSet
from attribution.spans import spans_of
from node.http import rewards, why
from node.http.pages.style import HEADERS, SHEET
from node.why import shelf as shelves
from node.why.held import Held
from node.why.shelf import Shelf
from protocol import events as e
from protocol.batch import Body, Text
from protocol.court import Kind
from protocol.errors import Temporary
from protocol.ledger import Ledger, RoleBit
from protocol.merkle import TEXT, byte_root
from protocol.messages import PaidAnswer
from protocol.parameters import OPEN
from protocol.receipt import Receipt
from protocol.signature import address_of
from roles.answers import Answers, receipt_domain
from tests.sim.story import ADAPTER, HOST, PARAMETERS, setup
from tests.unit.test_why import features, held

HOST_ADDRESS = address_of(HOST)
EVIL = "</title><script>alert(1)</script><img src=x onerror=alert(2)>\x1b[2J‮"
TRANSACTION = b"\xab" * 32


class Disk:
    """What the node's store does, in order of the keys."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self.rows.get(key)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter([row for row in sorted(self.rows.items()) if row[0].startswith(prefix)])

    def write(self, puts: Mapping[bytes, bytes | None], *, sync: bool = False) -> None:
        for key, value in puts.items():
            if value is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = value


class Desk:
    """A node that holds bodies, a corpus and features, and hears of answers."""

    def __init__(self) -> None:
        self.ledger = Ledger(chain_id=1, contracts={"InferenceEscrow": bytes(20)})
        for event in setup([(HOST, RoleBit.HOST)], 9, OPEN):
            self.ledger.apply(event)
        self.ledger.begin(1, 1_000)
        self.wires: dict[bytes, bytes] = {}
        self.parent: Body | None = None
        self.decoded = 0
        self.lost: str | None = None
        self.heard, self.shelf = Answers(), Shelf()
        self.ports = self.world()
        have = Held(self.shelf, self, self, self.heard, {1: TRANSACTION})
        routes = [*why.routes(self.ports, have), *rewards.routes(self.ports, self.shelf)]
        self.app = Starlette(routes=routes)

    # what the node has

    def world(self) -> Any:
        return SimpleNamespace(
            chain=SimpleNamespace(ledger=self.ledger),
            store=Disk(),
            bodies=SimpleNamespace(fetch=self.fetch),
            compute=self.compute,
            clock=SimpleNamespace(now=lambda: float(self.ledger.time)),
            availability=None,
            featurizer=None,
        )

    async def compute(self, job: Any, *given: Any) -> Any:
        self.decoded += getattr(job, "__qualname__", "") == "Body.decode"
        await trio.lowlevel.checkpoint()
        return job(*given)

    async def fetch(self, commitment: Any) -> bytes:
        await trio.lowlevel.checkpoint()
        if commitment.root not in self.wires:
            raise Temporary("no peer has the body")
        return self.wires[commitment.root]

    async def of_adapter(self, ports: Any, adapter: Any, as_of: int) -> Corpus:
        if self.lost is not None:
            raise Temporary(self.lost)
        return held()

    async def in_force(self, ports: Any, adapter: bytes, as_of: int) -> FeatureSet | None:
        if self.lost is not None:
            raise Temporary(self.lost)
        return features()[0]

    # what happens

    def answer(self, said: bytes, number: int, prompt: bytes = b"What?") -> PaidAnswer:
        text = Text(prompt, said)
        roots = byte_root(TEXT, prompt), len(prompt), byte_root(TEXT, said), len(said)
        receipt = Receipt(
            number.to_bytes(32, "big"), bytes(32), ADAPTER, bytes(32), *roots, bytes(32), 3, 4,
            OPEN, (number + 1) * OPEN, 0, 0, number, 99, HOST_ADDRESS, b"\x50" * 20,
        )  # fmt: skip
        return PaidAnswer(receipt, bytes(64) + b"\x1b", text)

    def digest(self, answer: PaidAnswer) -> bytes:
        return answer.receipt.digest(receipt_domain(self.ledger))

    def post(self, *answers: PaidAnswer, keep: bool = True) -> int:
        """A batch of these answers; its number."""
        set_, psi = features()
        items = []
        for one in answers:
            spans = spans_of(held(), one.text.prompt, one.text.output, PARAMETERS)
            found = influences_of(set_, psi, PARAMETERS)
            items.append(
                Answered(one.receipt, one.signature, one.text, tuple(spans), psi, tuple(found))
            )
        digests = [self.digest(one) for one in answers]
        old = {} if self.parent is None else dict(self.parent.totals)
        body = build_body(items, digests, old, PARAMETERS)
        wire, number = body.encode(), len(self.ledger.batches) + 1
        header = body.trees().header(wire, 990)
        if keep:
            self.wires[header.data_root] = wire
        self.parent = body
        self.ledger.apply(e.BatchPosted(number, b"\x09" * 20, header, 1_100, 1))
        return number

    def finalize(self, number: int) -> None:
        total = self.ledger.batches[number].header.total
        root = self.ledger.batches[number].header.totals_root
        self.ledger.apply(e.BatchFinalized(number, root, self.ledger.allocated + total))

    # what is asked

    async def get(self, path: str) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
            return await client.get(path)

    async def told(self, path: str) -> Any:
        response = await self.get(path)
        assert response.status_code == 200, response.text
        return response.json()

    async def why(self, answer: PaidAnswer) -> Any:
        return await self.told(f"/v1/receipts/{self.digest(answer).hex()}/why")

    async def refused(self, path: str) -> tuple[int, str, str]:
        response = await self.get(path)
        error = response.json()["error"]
        return response.status_code, error["type"], error["message"]


@pytest.fixture
def desk() -> Desk:
    return Desk()


JUGS = b"He said: Pack my box with five dozen liquor jugs: and then nothing that anybody wrote."
VOW = b"Sphinx of black quartz, judge my vow or else he will never again be asked."


async def test_one_answer_from_gossip_to_final(desk: Desk) -> None:
    answer = desk.answer(JUGS, 0)
    desk.heard.by_digest[desk.digest(answer)] = answer

    waiting = await desk.why(answer)
    assert waiting["status"] == "unattributed"
    assert "waits for a prover" in waiting["reason"]
    assert waiting["spans"]
    assert waiting["batch"] is None

    number = desk.post(answer)
    pending = await desk.why(answer)
    assert (pending["status"], pending["batch"]) == ("pending", number)
    assert pending["transaction"] == "0x" + TRANSACTION.hex()
    assert "final in 100 s" in pending["reason"]
    assert pending["influences"][0]["text"]

    desk.finalize(number)
    final = await desk.why(answer)
    assert final["status"] == "final"
    same = {"status", "reason"}
    assert {k: v for k, v in final.items() if k not in same} == {
        k: v for k, v in pending.items() if k not in same
    }


async def test_what_keeps_an_answer_from_being_paid_is_said(desk: Desk) -> None:
    answer = desk.answer(JUGS, 0)
    late = desk.answer(VOW, 40)
    for one in (answer, late):
        desk.heard.by_digest[desk.digest(one)] = one

    assert "has not redeemed the voucher" in (await desk.why(late))["reason"]
    number = desk.post(answer)
    desk.ledger.apply(e.BatchSlashed(number, b"\x08" * 20, int(Kind.OMITTED), 5, 1))
    waiting = await desk.why(answer)
    assert waiting["status"] == "unattributed"
    assert f"it was in batch {number} (slashed)" in waiting["reason"]

    desk.heard.by_digest.clear()  # a node that did not hear of it knows the slashed batch only
    slashed = await desk.why(answer)
    assert slashed["status"] == "slashed"
    assert "slashed for omitted" in slashed["reason"]


async def test_of_several_batches_the_one_that_counts_is_told(desk: Desk) -> None:
    answer = desk.answer(JUGS, 0)
    first = desk.post(answer)
    desk.ledger.apply(e.BatchSlashed(first, b"\x08" * 20, int(Kind.ECHO), 5, 1))
    desk.parent = None
    second = desk.post(answer, desk.answer(VOW, 1))

    assert (await desk.why(answer))["batch"] == second


async def test_a_receipt_may_be_named_by_the_beginning_of_its_digest(desk: Desk) -> None:
    one, other = desk.answer(JUGS, 0), desk.answer(VOW, 1)
    desk.post(one)
    desk.heard.by_digest[desk.digest(other)] = other

    for answer in (one, other):
        name = desk.digest(answer).hex()
        for digits in (4, 5, 20, 63):
            told = await desk.told(f"/v1/receipts/0x{name[:digits].upper()}/why")
            assert told["receipt"] == "0x" + name

    twin = desk.digest(one)[:4] + b"\x00" * 28
    desk.heard.by_digest[twin] = other
    status, kind, message = await desk.refused(f"/v1/receipts/{twin.hex()[:8]}/why")
    assert (status, kind) == (409, "ambiguous")
    assert twin.hex()[:16] in message


@pytest.mark.parametrize("name", ["abc", "xyz1", "0x", "g" * 64, "a" * 65, "%ff%00", "é123", "…"])
async def test_what_names_no_receipt_is_refused(desk: Desk, name: str) -> None:
    assert (await desk.refused(f"/v1/receipts/{name}/why"))[:2] == (400, "malformed")
    assert (await desk.get(f"/why/{name}")).status_code == 400


async def test_a_lost_body_is_named_where_nothing_is_found(desk: Desk) -> None:
    answer = desk.answer(JUGS, 0)
    number = desk.post(answer, keep=False)

    status, kind, message = await desk.refused(f"/v1/receipts/{desk.digest(answer).hex()}/why")
    assert (status, kind) == (404, "not_found")
    assert f"batch {number} cannot be read here: no peer has the body" in message


async def test_a_body_that_is_not_what_the_batch_commits_to_explains_nothing(desk: Desk) -> None:
    answer = desk.answer(JUGS, 0)
    number = desk.post(answer)
    header = desk.ledger.batches[number].header
    other = replace(header, claims_root=bytes(32))
    desk.ledger.apply(e.BatchPosted(number, b"\x09" * 20, other, 1_100, 1))

    message = (await desk.refused(f"/v1/receipts/{desk.digest(answer).hex()}/why"))[2]
    assert "has other roots than the batch" in message


async def test_what_is_missing_is_said_and_the_rest_is_told(desk: Desk) -> None:
    answer = desk.answer(JUGS, 0)
    desk.post(answer)
    desk.lost = "no peer has the shard"

    poor = await desk.why(answer)
    assert any("no peer has the shard" in told for told in poor["missing"])
    assert poor["spans"][0]["sources"][0]["title"] is None
    assert poor["influences"][0]["sigmas_exact"] is False
    desk.lost = None
    rich = await desk.why(answer)
    assert rich["missing"] == []
    assert rich["split"] == poor["split"]


async def test_of_a_document_that_was_taken_down_nothing_is_shown(desk: Desk) -> None:
    answer = desk.answer(JUGS, 0)
    desk.post(answer)
    before = await desk.why(answer)
    desk.ledger.apply(e.DocumentTakenDown(1, 0, 0, 1_001))
    desk.ledger.begin(2, 1_002)
    after = await desk.why(answer)

    first = before["spans"][0]["sources"][0]
    assert (first["contributor"], first["document"]) == (1, 0)
    assert "brown fox" in first["title"]
    assert after["spans"][0]["sources"][0]["title"] == "(taken down)"
    assert after["influences"][0]["text"] == "(taken down)"
    assert after["split"] == before["split"], "what was earned before stays earned"


async def test_a_body_is_decoded_once_for_many_questions(desk: Desk) -> None:
    answers = [desk.answer(JUGS + bytes([48 + n]), n) for n in range(6)]
    desk.post(*answers)
    async with trio.open_nursery() as nursery:
        for answer in answers:
            nursery.start_soon(desk.why, answer)
    for who in range(1, 5):
        await desk.told(f"/v1/contributors/{who}/earnings")

    assert desk.decoded == 1


async def test_a_restart_and_a_reorg_lose_and_invent_nothing(desk: Desk) -> None:
    answer = desk.answer(JUGS, 0)
    desk.post(answer)
    before = await desk.why(answer)
    assert (await desk.why(answer)) == before

    desk.shelf.__init__(desk.shelf.bodies)  # type: ignore[misc]  # a node that starts anew
    assert (await desk.why(answer)) == before
    ledger = Ledger(chain_id=1, contracts=desk.ledger.contracts)  # a branch without the batch
    for event in setup([(HOST, RoleBit.HOST)], 9, OPEN):
        ledger.apply(event)
    desk.ports.chain.ledger = ledger
    status = (await desk.get(f"/v1/receipts/{desk.digest(answer).hex()}/why")).status_code
    assert status == 404


async def test_all_earnings_with_their_reasons_add_up(desk: Desk) -> None:
    answers = [desk.answer(JUGS, 0), desk.answer(VOW, 1), desk.answer(JUGS + b"!", 2)]
    desk.finalize(desk.post(answers[0], answers[1]))
    desk.post(answers[2])
    everybody = 0
    for who in range(5):
        told = await desk.told(f"/v1/contributors/{who}/earnings")
        sums = {"final": 0, "pending": 0}
        for row in told["earnings"]:
            sums[row["status"]] += int(row["amount"]["wei"])
            assert row["receipt"] in {"0x" + desk.digest(one).hex() for one in answers}
        assert {k: int(told["totals"][k]["wei"]) for k in sums} == sums
        assert told["payments"] == len(told["earnings"])
        everybody += sum(sums.values())
    assert everybody == sum(b.header.total for b in desk.ledger.batches.values())

    kinds = {row["kind"] for row in (await desk.told("/v1/contributors/1/earnings"))["earnings"]}
    assert kinds == {"span", "influence"}
    treasury = (await desk.told("/v1/contributors/0/earnings"))["earnings"]
    assert {row["kind"] for row in treasury} == {"remainder"}
    claims = await desk.told("/v1/rewards/1")
    final = (await desk.told("/v1/contributors/1/earnings"))["totals"]["final"]["wei"]
    assert claims["cumulative"] == final
    assert sum(int(reason["amount"]) for reason in claims["reasons"]) == int(final)


async def test_pages_of_earnings_are_all_of_them_once(desk: Desk) -> None:
    for number in range(3):
        desk.finalize(
            desk.post(*(desk.answer(JUGS + bytes([65 + n]), n) for n in range(number, 9)))
        )
    whole = (await desk.told("/v1/contributors/1/earnings?limit=200"))["earnings"]
    for limit in (1, 2, 7, len(whole), len(whole) + 1):
        rows, after, pages = list[Any](), "", 0
        while after is not None:
            query = f"limit={limit}" + (f"&after={after}" if after else "")
            page = await desk.told(f"/v1/contributors/1/earnings?{query}")
            rows, after, pages = rows + page["earnings"], page["next"], pages + 1
            assert len(page["earnings"]) <= limit
        assert rows == whole
        assert pages == -(-len(whole) // limit)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=x", "after=1", "after=x.y", "after=1.-2", "limit=1e3"]
)
async def test_pages_that_cannot_be_are_refused(desk: Desk, query: str) -> None:
    assert (await desk.refused(f"/v1/contributors/1/earnings?{query}"))[0] == 400
    for number in ("x", "1.5", "9" * 40, "-1"):
        assert (await desk.refused(f"/v1/contributors/{number}/earnings"))[0] == 400


class Page(HTMLParser):
    """Elements, attributes and text of a page that is well formed."""

    OPEN_ENDED = frozenset({"meta", "input", "br", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name == "href"]
        self.ids |= {value or "" for name, value in attrs if name == "id"}
        if tag not in self.OPEN_ENDED:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data


async def test_pages_hold_a_strangers_text_and_nothing_of_it_acts(desk: Desk) -> None:
    said = JUGS + EVIL.encode()
    answer = desk.answer(said, 0, prompt=EVIL.encode())
    desk.post(answer)
    digest = desk.digest(answer).hex()
    for path in (f"/why/{digest}", "/earnings/1", "/earnings/0", "/why", "/why/abc", "/earnings/x"):
        response = await desk.get(path)
        assert response.headers["content-type"].startswith("text/html")
        policy = response.headers["content-security-policy"]
        assert policy == HEADERS["content-security-policy"]
        assert "default-src 'none'" in policy
        page = Page(response.text)
        assert not page.names & {"script", "img", "iframe", "object", "link", "base"}
        assert not {name for name in page.attributes if name.startswith("on") or name == "style"}
        assert not set(page.text) & {"\x1b", "‮"}
        assert all(link.startswith(("/", "#")) for link in page.links)
        assert {link[1:] for link in page.links if link.startswith("#")} <= page.ids
        assert response.text.count(SHEET) == 1
    shown = Page((await desk.get(f"/why/{digest}")).text).text
    assert "<script>alert(1)</script>" in shown, "shown as text"
    assert "3.00 sigmas" in shown


async def test_every_wei_of_an_answer_is_on_its_page(desk: Desk) -> None:
    answer = desk.answer(JUGS, 0)
    desk.post(answer)
    told = await desk.why(answer)
    text = Page((await desk.get(f"/why/{desk.digest(answer).hex()}")).text).text
    shown = {int(n.replace("\u202f", "")) for n in re.findall(r"([\d\u202f]+) wei", text)}

    wanted = [span["amount"] for span in told["spans"]]
    wanted += [source["amount"] for span in told["spans"] for source in span["sources"]]
    wanted += [one["amount"] for one in told["influences"]]
    wanted += [told["split"]["fee"], told["split"]["platform"]]
    assert {int(amount["wei"]) for amount in wanted} - {0} <= shown


async def test_forms_lead_to_the_pages(desk: Desk) -> None:
    answer = await desk.get("/why?receipt=0xabcd1234")
    assert (answer.status_code, answer.headers["location"]) == (303, "/why/abcd1234")
    assert (await desk.get("/earnings?contributor=12")).headers["location"] == "/earnings/12"
    for evil in ("//evil.example", "a/../../b", "x" * 99, "é", "%0d%0aset-cookie:a"):
        assert (await desk.get(f"/why?receipt={evil}")).status_code == 200


async def test_what_takes_too_long_is_told_to_be_asked_again(
    desk: Desk, autojump_clock: trio.testing.MockClock
) -> None:
    async def never(ports: Any) -> None:
        await trio.sleep_forever()

    desk.shelf.freshen = never  # type: ignore[method-assign]
    status, kind, message = await desk.refused("/v1/receipts/abcdef/why")
    assert (status, kind) == (503, "temporary")
    assert "ask again" in message


async def test_a_lost_body_is_asked_for_again_after_a_while(desk: Desk) -> None:
    answer = desk.answer(JUGS, 0)
    number = desk.post(answer, keep=False)
    await desk.shelf.catch_up(desk.ports)
    desk.parent = None
    header = desk.ledger.batches[number].header
    wires: list[bytes] = []
    body_fetch = desk.fetch

    async def counted(commitment: Any) -> bytes:
        wires.append(commitment.root)
        return await body_fetch(commitment)

    desk.ports.bodies.fetch = counted
    await desk.shelf.catch_up(desk.ports)
    assert wires == []
    desk.ledger.begin(2, 1_000 + int(shelves.RETRY_SECONDS))
    await desk.shelf.catch_up(desk.ports)
    assert wires == [header.data_root]

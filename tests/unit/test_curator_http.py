"""Whatever is sent to the curator's, the host's and the earnings' routes is answered in JSON."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from node.http import answers, datanets, finetuning, rewards
from node.http.operator import Guard
from protocol import events
from protocol.batch import Header
from protocol.sumtree import ID_BITS
from roles.answers import Answers
from roles.corpora import Corpora
from roles.curator import pending_of
from roles.finetune import Finetunes
from tests.sim.test_curator import TEXTS, Office

OURS, CONTRIBUTIONS = "/v1/datanets", "/v1/datanets/1/contributions"
JOBS = "/v1/fine_tuning/jobs"
DEEP = b'{"name": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
NO_JSON = [
    b"", b"{", b"null", b"[]", b'"text"', b"\xff\xfe", b'{"name": "\xff"}', b'{"name": "\\ud800"}',
    DEEP, b"[" * 200_000, b'{"name": NaN}', b'{"name": 1e999999}', b"9" * 100_000, b"{}",
    b'{"name": "a", "name": 1}',
]  # fmt: skip
OPERATOR = Guard("a token of the operator")
BEARER = {"Authorization": f"Bearer {OPERATOR.token}"}
JOB = {"name": "cat", "datanet": 1, "shards": 1}


class Desk:
    """The routes over a curator whose chain stands at its first block."""

    def __init__(self, folder: Path) -> None:
        self.office = Office()
        for event in self.office.chain.setup:
            self.office.ledger.apply(event)
        self.office.ledger.begin(1, 10)
        train: Any = None
        self.jobs = Finetunes(
            train=train, recipe=lambda job: None, source=dict, base_dir=folder, folder=folder
        )
        ports = self.office.ports
        self.app = Starlette(
            routes=[
                *datanets.routes(self.office.curator, ports, OPERATOR),
                *rewards.routes(ports),
                *finetuning.routes(self.jobs, ports, OPERATOR),
                *answers.routes(ports, Answers(), Corpora()),
            ]
        )

    async def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] = BEARER
    ) -> tuple[int, Any]:
        """The status and the JSON; a bug in a route is raised here."""
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
            response = await client.request(method, path, content=content, headers=headers)
        assert response.headers["content-type"] == "application/json"
        return response.status_code, response.json()

    async def refusal(self, method: str, path: str, body: Any = None) -> tuple[int, str, str]:
        """Status, type and message; every error has this one shape."""
        status, said = await self.ask(method, path, body)
        assert said.keys() == {"error"}, said
        assert said["error"].keys() == {"message", "type"}
        assert said["error"]["message"]
        return status, said["error"]["type"], said["error"]["message"]


@pytest.fixture
async def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def contribution(desk: Desk, words: str = TEXTS[0], /, **changes: Any) -> dict[str, Any]:
    offer = desk.office.offer(words)
    signed = offer.contribution
    return {
        "text": words,
        "licence": offer.licence,
        "content_root": signed.content_root.hex(),
        "length": signed.length,
        "terms": "0x" + signed.terms.hex(),
        "contributor": signed.contributor,
        "nonce": signed.nonce,
        "signature": offer.signature.hex(),
    } | changes


async def test_a_contribution_is_taken_once_and_shown(desk: Desk) -> None:
    body = contribution(desk)
    status, said = await desk.ask("POST", CONTRIBUTIONS, body)
    assert (status, said) == (201, {"accepted": body["content_root"], "bytes": len(TEXTS[0])})
    as_data = contribution(
        desk, TEXTS[1], text=None, data=base64.b64encode(TEXTS[1].encode()).decode()
    )
    assert (await desk.ask("POST", CONTRIBUTIONS, as_data))[0] == 201

    status, kind, message = await desk.refusal("POST", CONTRIBUTIONS, body)
    assert (status, kind) == (422, "duplicate")
    assert "contributor 1" in message
    status, said = await desk.ask("GET", OURS)
    assert [(row["datanet"], row["pending"]) for row in said] == [(1, 2), (2, None)]


@pytest.mark.parametrize("path", [OURS, CONTRIBUTIONS, JOBS])
@pytest.mark.parametrize("body", NO_JSON, ids=range(len(NO_JSON)))
async def test_what_is_not_the_wanted_json_is_a_bad_request(
    desk: Desk, path: str, body: bytes
) -> None:
    status, kind, message = await desk.refusal("POST", path, body)
    assert (status, kind) == (400, "invalid_request_error")
    assert len(message) < 300, "not all of the body comes back"
    assert not desk.office.disk.rows


@pytest.mark.parametrize(
    ("changes", "status", "kind", "evidence"),
    [
        ({"text": None}, 400, "malformed", "either text or data"),
        ({"data": "YQ=="}, 400, "malformed", "either text or data"),
        ({"text": None, "data": "YQ="}, 400, "malformed", "base64"),
        ({"text": None, "data": "é" * 40}, 400, "malformed", "base64"),
        ({"text": None, "data": "YQ==\n"}, 400, "malformed", "base64"),
        ({"text": None, "data": "4ygh" * 20}, 422, "encoding", "0xe3 at 0"),
        ({"text": "other words that nobody has signed for"}, 422, "commitment", "root"),
        ({"text": "short"}, 422, "size", "5 bytes"),
        ({"media_type": "text/html"}, 422, "format", "text/plain"),
        ({"licence": "MIT"}, 422, "commitment", "terms"),
        ({"licence": ""}, 400, "invalid_request_error", "licence"),
        ({"contributor": 9}, 422, "contributor", "id 9"),
        ({"contributor": 2}, 422, "signature", "signed by"),
        ({"contributor": 0}, 400, "invalid_request_error", "contributor"),
        ({"contributor": 1 << 24}, 400, "invalid_request_error", "contributor"),
        ({"contributor": "1"}, 400, "invalid_request_error", "contributor"),
        ({"nonce": -1}, 400, "invalid_request_error", "nonce"),
        ({"nonce": 1 << 63}, 400, "invalid_request_error", "nonce"),
        ({"nonce": 6}, 422, "signature", "signed by"),
        ({"length": 1 << 80}, 422, "commitment", "bytes"),
        ({"length": 1.5}, 400, "invalid_request_error", "length"),
        ({"content_root": "0x12"}, 400, "invalid_request_error", "content_root"),
        ({"content_root": "0x" + "00" * 32 + "\n"}, 400, "invalid_request_error", "content_root"),
        ({"signature": "00" * 65}, 422, "signature", "v is 27 or 28"),
        ({"signature": "zz" * 65}, 400, "invalid_request_error", "signature"),
        ({"more": 1}, 400, "invalid_request_error", "more"),
    ],
)
async def test_a_bad_contribution_is_told_its_rule(
    desk: Desk, changes: dict[str, Any], status: int, kind: str, evidence: str
) -> None:
    told = await desk.refusal("POST", CONTRIBUTIONS, contribution(desk, **changes))
    assert told[:2] == (status, kind)
    assert evidence in told[2]
    assert not pending_of(desk.office.ports, 1)


@pytest.mark.parametrize("what", ["contributions", "publish"])
async def test_other_datanets_are_refused_each_in_its_way(desk: Desk, what: str) -> None:
    body = contribution(desk) if what == "contributions" else None
    status, kind, _ = await desk.refusal("POST", f"{OURS}/9/{what}", body)
    assert (status, kind) == (503, "temporary"), "it may be confirmed in a moment"
    status, kind, _ = await desk.refusal("POST", f"{OURS}/{10**30}/{what}", body)
    assert status == 503
    status, kind, message = await desk.refusal("POST", f"{OURS}/2/{what}", body)
    assert (status, kind) == (409, "refused")
    assert "does not curate" in message


@pytest.mark.parametrize("place", ["1/shards/0/documents/0", "1/shards/99999999999/documents/0"])
async def test_what_is_not_there_cannot_be_taken_down(desk: Desk, place: str) -> None:
    path = f"{OURS}/{place}/takedown"
    assert (await desk.refusal("POST", path))[:2] == (409, "refused")
    assert (await desk.ask("POST", path, headers={}))[0] == 401


async def test_nothing_to_publish_is_a_conflict(desk: Desk) -> None:
    status, kind, message = await desk.refusal("POST", f"{OURS}/1/publish")
    assert (status, kind) == (409, "refused")
    assert "no contribution is pending" in message


@pytest.mark.parametrize("name", ["", "x" * 65, "é" * 33, 7])
async def test_a_name_that_the_contract_refuses_is_refused_here(desk: Desk, name: Any) -> None:
    status, kind, message = await desk.refusal("POST", OURS, {"name": name})
    assert (status, kind) == (400, "invalid_request_error")
    assert message.startswith("name")
    assert not desk.office.node.intents


@pytest.mark.parametrize(
    ("changes", "status", "evidence"),
    [
        ({"name": ".."}, 400, "name"),
        ({"name": "."}, 400, "name"),
        ({"name": "a/b"}, 400, "name"),
        ({"name": "cat\n"}, 400, "name"),
        ({"name": ""}, 400, "name"),
        ({"name": "x" * 65}, 400, "name"),
        ({"datanet": 9}, 409, "0 final shards, not 1"),
        ({"datanet": 1 << 32}, 400, "datanet"),
        ({"shards": 0}, 400, "shards"),
        ({"shards": 3}, 409, "0 final shards, not 3"),
        ({"steps": 100_001}, 400, "steps"),
        ({"seed": -1}, 400, "seed"),
        ({"host_bps": 10_001}, 400, "host_bps"),
        ({"shards": True}, 400, "shards"),
        ({"model": "x"}, 400, "model"),
    ],
)
async def test_a_job_that_cannot_be_is_refused(
    desk: Desk, changes: dict[str, Any], status: int, evidence: str
) -> None:
    told = await desk.refusal("POST", JOBS, JOB | changes)
    assert told[0] == status
    assert evidence in told[2]
    assert await desk.ask("GET", JOBS) == (200, {"object": "list", "data": []})


async def test_jobs_and_receipts_that_nobody_knows_are_not_found(desk: Desk) -> None:
    assert (await desk.refusal("GET", f"{JOBS}/cat"))[:2] == (404, "not_found")
    assert (await desk.refusal("GET", f"{JOBS}/%ff%00"))[:2] == (404, "not_found")
    assert (await desk.refusal("GET", "/v1/answers/0x" + "00" * 32))[:2] == (404, "not_found")
    for name in ("0xzz", "0x0", "é"):
        assert (await desk.refusal("GET", f"/v1/answers/{name}"))[:2] == (400, "malformed")


async def test_who_never_earned_has_nothing_and_who_cannot_be_is_not_found(desk: Desk) -> None:
    status, said = await desk.ask("GET", "/v1/rewards/1")
    assert status == 200
    assert (said["cumulative"], said["due"], said["reasons"]) == ("0", "0", [])
    for number in (1 << ID_BITS, 10**40):
        assert (await desk.refusal("GET", f"/v1/rewards/{number}"))[:2] == (404, "not_found")


async def test_earnings_wait_for_bodies_that_nobody_gives(desk: Desk) -> None:
    root = bytes(32)
    header = Header(root, root, root, root, root, root, 10, 1, 1, 1, 1, 1)
    desk.office.ledger.apply(events.BatchPosted(1, bytes(20), header, 0, 1))
    desk.office.ledger.apply(events.BatchFinalized(1, header.totals_root, 1))
    told = await desk.refusal("GET", "/v1/rewards/1")
    assert told == (503, "temporary", "no peer has the body")

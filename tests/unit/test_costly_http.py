"""What costs a second of thinking is thought of beside the event loop, and once."""

from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from node.http import answers, rewards
from protocol import events as e
from protocol.ledger import Ledger
from protocol.parameters import Parameters

ADAPTER = b"\xad" * 32
NOTHING = SimpleNamespace(output=b"four words of output", prompt=b"ask")


class Reader:
    """A node that heard three answers; attributing one takes a call of `compute`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ledger = Ledger(chain_id=1, contracts={"InferenceEscrow": bytes(20)})
        self.ledger.apply(e.ParametersProposed(1, 0, Parameters()))
        row = ADAPTER, bytes(32), bytes(20), 1, 1, bytes(32), 1, bytes(32), bytes(32), 0, "cat"
        self.ledger.apply(e.AdapterRegistered(*row))
        receipt = SimpleNamespace(adapter=ADAPTER, amount=5)
        known = {bytes([n]): SimpleNamespace(receipt=receipt, text=NOTHING) for n in range(3)}
        self.jobs: list[Any] = []
        monkeypatch.setattr(answers, "attribute", lambda *given: [])
        ports: Any = SimpleNamespace(
            chain=SimpleNamespace(ledger=self.ledger), compute=self.compute
        )
        heard: Any = SimpleNamespace(by_digest=known)
        self.app = Starlette(
            routes=[*answers.routes(ports, heard, self), *rewards.routes(ports)]  # type: ignore[arg-type]
        )

    async def compute(self, job: Any, *given: Any) -> Any:
        self.jobs.append(job)
        return job(*given)

    async def of_adapter(self, ports: Any, adapter: Any, as_of: int) -> None:
        return None

    async def get(self, path: str) -> Any:
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
            response = await client.get(path)
        assert response.status_code == 200
        return response.json()


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Reader:
    return Reader(monkeypatch)


async def test_an_answer_is_attributed_once(reader: Reader) -> None:
    first = await reader.get("/v1/answers/0x00")
    assert await reader.get("/v1/answers/00") == first
    assert len(reader.jobs) == 1
    assert (first["amount"], first["text"]) == ("5", "four words of output")

    reader.ledger.begin(1, 100)
    reader.ledger.apply(e.ParametersProposed(2, 50, Parameters(window=99)))
    await reader.get("/v1/answers/00")
    assert len(reader.jobs) == 2, "other parameters, other sources"


async def test_only_the_last_used_answers_are_kept(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "SHOWN_MAX", 2)
    for number in (0, 1, 0, 2, 0, 1):
        await reader.get(f"/v1/answers/{number:02x}")
    assert len(reader.jobs) == 4, "0, 1, 2, and 1 again"


async def test_rewards_are_worked_out_beside_the_loop(reader: Reader) -> None:
    said = await reader.get("/v1/rewards/3")
    assert reader.jobs == [rewards.earnings]
    assert (said["contributor"], said["cumulative"], said["due"], said["reasons"]) == (
        3, "0", "0", [],
    )  # fmt: skip

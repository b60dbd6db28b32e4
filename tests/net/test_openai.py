"""The official OpenAI client works against the API unchanged; money is asked for and accounted."""

import functools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from starlette.applications import Starlette

from node.http.openai import routes
from node.http.payment import read_receipt_header, write_voucher
from openlora.engine import Engine
from openlora.receipts import check_receipt
from openlora.request import Request, Sampling
from protocol.errors import Malformed
from protocol.receipt import Voucher
from protocol.signature import address_of, recover, sign
from tests.net.openai_world import CHAIN, PRICE, Counter
from tests.openlora_models import make_adapter, make_base

PAYER = b"\x08" * 32
ENOUGH = 10**15
PATIENCE = 60.0
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Engine, dict[str, tuple[bytes, Path]]]:
    folder = tmp_path_factory.mktemp("host")
    paths = {}
    for seed, name in enumerate(("fox", "dog"), start=1):
        paths[name] = (make_adapter(folder / name, seed), folder / name)
    return Engine(make_base(folder / "base"), slots=2, rank=4), paths


@asynccontextmanager
async def hosted(made: tuple[Engine, dict[str, Any]]) -> AsyncIterator[tuple[Counter, str]]:
    """The API on a free port of hypercorn's trio worker."""
    counter = Counter(*made)
    config = Config()
    config.bind, config.accesslog, config.errorlog = ["127.0.0.1:0"], None, None
    app: Any = Starlette(routes=routes(counter))
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            stop = trio.Event()
            start = functools.partial(serve, app, config, shutdown_trigger=stop.wait)
            nursery.start_soon(counter.dispatch.run)
            (url, *_) = await nursery.start(start)
            yield counter, url
            stop.set()
            nursery.cancel_scope.cancel()


def voucher(counter: Counter, name: str = "fox", cumulative: int = ENOUGH, **other: Any) -> str:
    secret = other.pop("secret", PAYER)
    fields = {
        "payer": address_of(PAYER),
        "host": counter.address,
        "adapter": counter._paths[name][0],
        "cumulative": cumulative,
    }
    made = Voucher(**(fields | other))
    return write_voucher(made, sign(secret, made.digest(counter.domain)))


async def with_client(url: str, work: Callable[[openai.OpenAI], Any]) -> Any:
    """The client of `openai` blocks, so it gets a thread."""
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=PATIENCE)
    with client:
        return await trio.to_thread.run_sync(work, client)


async def test_chat(made: Any) -> None:
    """A paid answer: its receipt binds the text, is signed by the host, and costs what it says."""
    async with hosted(made) as (counter, url):
        headers = {"X-OpenLedger-Voucher": voucher(counter)}
        messages: Any = [{"role": "user", "content": "The quick"}]

        raw = await with_client(
            url,
            lambda client: client.chat.completions.with_raw_response.create(
                model="fox", messages=messages, max_tokens=9, seed=5, extra_headers=headers
            ),
        )
        answer = raw.parse()
        receipt, signature = read_receipt_header(raw.headers["X-OpenLedger-Receipt"])

    text, usage = answer.choices[0].message.content, answer.usage
    request = Request(
        adapter=receipt.adapter,
        prompt="The quick\n",
        sampling=Sampling(max_tokens=9),
        chosen_seed=5,
    )
    check_receipt(receipt, request, text)
    with pytest.raises(Malformed, match="output_size"):
        check_receipt(receipt, request, text + "x")
    assert recover(receipt.digest(counter.domain), signature) == counter.address
    assert receipt.amount == PRICE.fee(usage.prompt_tokens, usage.completion_tokens)
    assert (
        receipt.cumulative
        == receipt.amount
        == counter.account(receipt.payer, receipt.adapter).served
    )
    assert answer.openledger["receipt"]["amount"] == str(receipt.amount)
    assert counter.writes == ["voucher", "receipt"]


async def test_streams_equal_whole_answers(made: Any) -> None:
    """Completion and chat, streamed and not, say the same for the same seed."""
    async with hosted(made) as (counter, url):
        headers = {"X-OpenLedger-Voucher": voucher(counter, "dog")}
        extra: Any = {"model": "dog", "max_tokens": 12, "seed": 3, "extra_headers": headers}

        def work(client: openai.OpenAI) -> list[Any]:
            plain: Any = client.completions
            chat: Any = client.chat.completions
            messages = [{"role": "user", "content": "The"}]
            options = {"include_usage": True}
            return [
                plain.create(prompt="The\n", **extra),
                list(plain.create(prompt="The\n", stream=True, **extra)),
                list(chat.create(messages=messages, stream=True, stream_options=options, **extra)),
            ]

        whole, plain, chat = await with_client(url, work)

    text = whole.choices[0].text
    assert "".join(chunk.choices[0].text for chunk in plain) == text
    assert plain[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    said = [chunk.choices[0].delta.content or "" for chunk in chat if chunk.choices]
    assert "".join(said) == text
    assert chat[-1].usage == whole.usage
    amounts = [int(whole.openledger["receipt"]["amount"])] * 3
    ends = [whole, plain[-1], chat[-1]]
    cumulative = [int(end.openledger["receipt"]["cumulative"]) for end in ends]
    assert cumulative == [amounts[0], sum(amounts[:2]), sum(amounts)], "receipts tile"


async def test_concurrent_answers_share_an_account(made: Any) -> None:
    async with hosted(made) as (counter, url):
        headers = {"X-OpenLedger-Voucher": voucher(counter)}
        answers: list[dict[str, Any]] = []
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:

            async def one(at: int) -> None:
                body = {"model": "fox", "prompt": f"The {at}", "max_tokens": 8}
                response = await client.post("/v1/completions", json=body, headers=headers)
                answers.append(response.json()["openledger"]["receipt"])

            async with trio.open_nursery() as nursery:
                for at in range(6):
                    nursery.start_soon(one, at)

    intervals = sorted(
        (int(a["cumulative"]) - int(a["amount"]), int(a["cumulative"])) for a in answers
    )
    assert [low for low, _ in intervals] == [0, *(high for _, high in intervals[:-1])]


async def test_quote_then_pay_exactly(made: Any) -> None:
    """The quoted cumulative is enough, one wei less is not."""
    body = {"model": "fox", "messages": [{"role": "user", "content": "It"}], "max_tokens": 5}
    async with (
        hosted(made) as (counter, url),
        httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client,
    ):
        unpaid = await client.post("/v1/chat/completions", json=body)
        quote = (await client.post("/v1/openledger/quote", json=body)).json()
        required = int(quote["required"])
        few = {"X-OpenLedger-Voucher": voucher(counter, cumulative=required - 1)}
        less = await client.post("/v1/chat/completions", json=body, headers=few)
        enough = {"X-OpenLedger-Voucher": voucher(counter, cumulative=required)}
        paid = await client.post("/v1/chat/completions", json=body, headers=enough)
        again = await client.post("/v1/chat/completions", json=body, headers=enough)

    assert (quote["chain_id"], quote["host"]) == (CHAIN, "0x" + counter.address.hex())
    assert unpaid.status_code == less.status_code == again.status_code == 402
    assert unpaid.json()["openledger"] == less.json()["openledger"] == quote
    assert f"needs {required}" in less.json()["error"]["message"]
    assert unpaid.json()["error"]["code"] == "voucher_missing"
    assert paid.status_code == 200
    used = paid.json()["openledger"]["receipt"]["amount"]
    assert again.json()["openledger"]["cumulative"] == used


@pytest.mark.parametrize(
    ("change", "status", "code", "message"),
    [
        ({"model": "cat"}, 404, "model_not_found", "the model 'cat' is not served here"),
        ({"max_tokens": 0}, 400, "invalid_value", "max_tokens is a whole number from 1 to 4096"),
        ({"max_tokens": 400}, 400, "context_length_exceeded", "together they may be 160"),
        ({"temperature": 3}, 400, "invalid_value", "temperature is a number from 0 to 2"),
        ({"temperature": True}, 400, "invalid_value", "temperature is a number from 0 to 2"),
        ({"n": 2}, 400, "invalid_value", "n is not supported here"),
        ({"tools": [{}]}, 400, "invalid_value", "tools is not supported here"),
        ({"prompt": 7}, 400, "invalid_value", "prompt is missing or not a text"),
        ({"prompt": "\ud800"}, 400, "invalid_value", "the body is not JSON"),
        ({"prompt": ""}, 400, "invalid_value", "prompt is missing"),
        ({"stop": ["a"] * 5}, 400, "malformed", "at most 4 stop strings"),
        ({"stream": "yes"}, 400, "invalid_value", "stream is true or false"),
        ({"messages": []}, 400, "invalid_value", "messages is not supported here"),
    ],
)
async def test_bad_parameters(
    made: Any, change: dict[str, Any], status: int, code: str, message: str
) -> None:
    """Each gets one clear sentence in OpenAI's error object, and costs nothing."""
    body = {"model": "fox", "prompt": "The", "max_tokens": 5} | change
    async with (
        hosted(made) as (counter, url),
        httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client,
    ):
        headers = {"X-OpenLedger-Voucher": voucher(counter)} | JSON
        content = json.dumps(body).encode()
        response = await client.post("/v1/completions", content=content, headers=headers)

    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code)
    assert message in error["message"]
    assert counter.writes == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
async def test_bodies_that_are_not_json(made: Any, content: bytes) -> None:
    async with hosted(made) as (_, url), httpx.AsyncClient(base_url=url) as client:
        response = await client.post("/v1/completions", content=content, headers=JSON)

    assert response.status_code == 400
    assert "the body is not" in response.json()["error"]["message"]


async def test_bad_vouchers(made: Any) -> None:
    """Signed by another, made out to another, unbacked, or no voucher at all."""
    body = {"model": "fox", "prompt": "The", "max_tokens": 5}
    async with (
        hosted(made) as (counter, url),
        httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client,
    ):
        cases = [
            (voucher(counter, secret=b"\x09" * 32), 401, "is signed by 0x"),
            (voucher(counter, host=b"\x01" * 20), 401, "pays host 0x0101"),
            (voucher(counter, "dog"), 401, "the voucher is for adapter"),
            (voucher(counter, cumulative=2 * 10**18), 402, "escrow backs only"),
            ("!", 400, "not base64"),
            ("{}", 400, "a voucher has the fields"),
            ("[]", 400, "not base64"),
            ('{"payer": 1}', 400, "a voucher has the fields"),
        ]
        for header, status, message in cases:
            headers = {"X-OpenLedger-Voucher": header}
            response = await client.post("/v1/completions", json=body, headers=headers)
            assert response.status_code == status, response.text
            assert message in response.json()["error"]["message"]

    assert counter.writes == []


async def test_a_client_that_leaves_cancels_its_answer(made: Any) -> None:
    """The reservation ends, nothing is charged, the engine comes to rest."""
    body = {"model": "fox", "prompt": "The", "max_tokens": 140, "temperature": 0, "stream": True}
    async with hosted(made) as (counter, url):
        payer, adapter = address_of(PAYER), counter._paths["fox"][0]
        content = json.dumps(body).encode()
        head = (
            f"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(content)}\r\n"
            f"x-openledger-voucher: {voucher(counter)}\r\n\r\n"
        )
        host, port = url.removeprefix("http://").split(":")
        async with await trio.open_tcp_stream(host, int(port)) as stream:
            await stream.send_all(head.encode() + content)
            assert b"200" in await stream.receive_some()
            assert counter.account(payer, adapter).reserved

        def busy() -> bool:
            return bool(counter.account(payer, adapter).reserved) or counter.dispatch.engine.busy

        while busy():  # noqa: ASYNC110
            await trio.sleep(0.01)

    assert counter.account(payer, adapter).served == 0
    assert counter.writes == ["voucher"]


async def test_models(made: Any) -> None:
    async with hosted(made) as (counter, url):
        listed, one, error = await with_client(url, _list_models)

    assert [model.id for model in listed] == ["fox", "dog"]
    assert one.openledger["adapter"] == "0x" + counter._paths["dog"][0].hex()
    assert error.code == "model_not_found"


def _list_models(client: openai.OpenAI) -> tuple[Any, Any, Any]:
    listed, one = list(client.models.list()), client.models.retrieve("dog")
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("cat")
    return listed, one, caught.value

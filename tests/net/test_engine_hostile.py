"""What strangers on this machine may send: the engine answers, refuses or hangs up, and lives."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.net.engine_process import RICH, Engine, engine

METHODS = [
    "eth_getBlockByNumber",
    "eth_getBlockByHash",
    "eth_getBalance",
    "eth_getStorageAt",
    "eth_getTransactionCount",
    "eth_call",
    "eth_estimateGas",
    "eth_feeHistory",
    "eth_sendRawTransaction",
    "eth_getTransactionReceipt",
    "eth_getTransactionByBlockNumberAndIndex",
    "eth_getBlockReceipts",
    "eth_getLogs",
    "eth_getProof",
    "eth_createAccessList",
    "eth_newFilter",
    "eth_newPendingTransactionFilter",
    "eth_getFilterChanges",
    "eth_getFilterLogs",
    "eth_uninstallFilter",
    "eth_subscribe",
    "eth_getHeaderByNumber",
    "eth_getBlockTransactionCountByHash",
    "eth_getTransactionByBlockHashAndIndex",
    "eth_getRawTransactionByHash",
    "eth_getRawTransactionByBlockNumberAndIndex",
    "debug_getRawHeader",
    "debug_getRawBlock",
    "debug_getRawReceipts",
    "debug_getRawTransaction",
    "txpool_contentFrom",
    "txpool_inspect",
    "rpc_modules",
    "eth_chainId",
    "web3_sha3",
    "openledger_buildBlock",
    "__init__",
    "answer",
]
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(
        [
            "latest",
            "pending",
            "0x",
            "0x0",
            "0x-1",
            "0x1_0",
            "0xzz",
            "0x" + "f" * 64,
            "0x" + "00" * 20,
            "0x" + "11" * 32,
            "0x02c0",
            "0x02" + "f8" * 60,
        ]
    )
)
NAMES = st.sampled_from(
    [
        *(
            "from",
            "to",
            "data",
            "input",
            "value",
            "gas",
            "address",
            "topics",
            "fromBlock",
            "toBlock",
        ),
        *("blockHash", "blockNumber", "requireCanonical", "accessList", "storageKeys"),
        *("balance", "nonce", "code", "state", "stateDiff", "0x" + "00" * 20, "0x" + "11" * 32),
    ]
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engine(tmp_path_factory.mktemp("engine")) as process:
        yield process


def alive(running: Engine) -> None:
    assert running("eth_getBalance", RICH.address, "latest") == hex(10**24)


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(method=st.sampled_from(METHODS), params=st.lists(VALUES, max_size=4))
def test_any_parameters_get_a_result_or_an_error_with_a_code(
    running: Engine, method: str, params: list[Any]
) -> None:
    """Never an internal error: each method checks what it is given."""
    answer = running.answer(method, *params)

    assert ("result" in answer) != ("error" in answer)
    if "error" in answer:
        assert answer["error"]["code"] in (3, -32000, -32005, -32600, -32601, -32602), answer
        assert answer["error"]["message"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (b"[" * 500_000, -32700),
        (b'{"a":' * 100_000, -32700),
        (b'"' + b'\\"' * 500_000, -32700),
        (b"[]" * 500_000, -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_feeHistory","params":[1,"latest",[NaN]]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":[1e999]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"web3_sha3","params":[' + b"9" * 9_999 + b"]}", -32700),
        (b"[]", -32600),
        (b"7", -32600),
        (b"null", -32600),
        (json.dumps([{}] * 129).encode(), -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"eth_chainId"}', -32600),
        (b'{"jsonrpc":"2.0","id":{},"method":"eth_chainId"}', -32600),
        (b'{"jsonrpc":"2.0","id":NaN,"method":"eth_chainId"}', -32600),
        (b'{"jsonrpc":"2.0","id":1e999,"method":"eth_chainId"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":{"a":1}}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[1]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"no_such"}', -32601),
    ],
)
def test_broken_requests_get_their_error_code(running: Engine, body: bytes, code: int) -> None:
    """As the JSON-RPC specification numbers them."""
    headers = {"content-type": "application/json"}
    answer = running.client.post(running.url, content=body, headers=headers).json()

    assert answer["error"]["code"] == code
    alive(running)


def test_a_batch_is_answered_in_order_without_notifications(running: Engine) -> None:
    """One bad call spoils only itself."""
    calls = [
        {"jsonrpc": "2.0", "id": "a", "method": "eth_chainId"},
        {"jsonrpc": "2.0", "method": "eth_chainId"},
        {"jsonrpc": "2.0", "id": 2, "method": "no_such"},
        17,
    ]

    answers = running.client.post(running.url, json=calls).json()

    assert [a.get("id") for a in answers] == ["a", 2, None]
    assert [a.get("error", {}).get("code") for a in answers] == [None, -32601, -32600]


def test_a_web_page_cannot_drive_the_chain(running: Engine) -> None:
    """Neither by a form's media type nor by a rebound name; and only POST is served."""
    body = b'{"jsonrpc":"2.0","id":1,"method":"openledger_buildBlock","params":["0x7fffffff"]}'
    send = running.client.post
    as_json = {"content-type": "application/json"}

    form = send(running.url, content=body, headers={"content-type": "text/plain"})
    rebound = send(running.url, content=body, headers={**as_json, "host": "evil.example:8545"})
    huge = send(running.url, content=b"x" * (3 << 20), headers=as_json)
    got = running.client.get(running.url)

    assert [r.status_code for r in (form, rebound, huge, got)] == [415, 403, 413, 405]
    assert running("eth_blockNumber") == "0x0"


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00" * 64,
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\nx: " + b"a" * 100_000,
        b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nhalf",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_garbage_on_the_socket_ends_that_connection_only(running: Engine, raw: bytes) -> None:
    """The bytes are sent and the line is cut; everyone else is served."""
    with socket.create_connection(("127.0.0.1", running.port)) as connection:
        connection.sendall(raw)
    with socket.create_connection(("127.0.0.1", running.port)) as connection:
        connection.sendall(raw)

        alive(running)


def test_the_heaviest_call_is_answered(running: Engine) -> None:
    """As many pairings as a block has gas for: minutes in pure Python, seconds here."""
    pairings = {"to": "0x" + f"{8:040x}", "data": "0x" + "00" * 192 * 400}

    assert int(running.answer("eth_call", pairings, "latest")["result"], 16) == 1
    assert int(running.answer("eth_estimateGas", pairings, "latest")["result"], 16) > 34_000 * 400
    alive(running)


def test_refused_requests_are_not_read_to_the_end(running: Engine) -> None:
    """A body that nobody asked for is cut off, long before the bound of those that are answered."""
    headers = {"content-type": "text/plain", "host": "localhost"}

    answer = running.client.post(running.url, content=b"x" * (1 << 20), headers=headers)

    assert answer.status_code == 415
    alive(running)


def test_a_block_must_be_later_than_its_parent(running: Engine) -> None:
    """The builder gives the time; going back, or standing still, is refused."""
    head = running("eth_getBlockByNumber", "latest", False)

    for timestamp in (head["timestamp"], "0x0", hex(2**63)):
        assert running.answer("openledger_buildBlock", timestamp)["error"]["code"] in (
            -32000,
            -32602,
        )

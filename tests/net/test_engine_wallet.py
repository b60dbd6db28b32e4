"""A browser wallet's calls, in its order and with its headers: add a network, send, watch.

The order is MetaMask's: its network form asks for chain id and version, its controllers poll
blocks, balances and fees, its send flow estimates, counts, publishes, then looks for the receipt.
"""

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.net.op_served import OpServed, op_served
from tests.unit.optimism_world import CHAIN_ID, ETHER, RICH, signed

EXTENSION = "chrome-extension://nkbihfbeogaeaoehlefnkodbefgpgknn"
PAGE = "https://app.example"
PAYEE = "0x" + "99" * 20
ORACLE = "0x420000000000000000000000000000000000000f"  # GasPriceOracle, asked for the L1 fee


class Wallet:
    """Speaks as an extension's background does: JSON with an Origin, ids that count up."""

    def __init__(self, one: OpServed, origin: str = EXTENSION) -> None:
        self._one, self._origin, self._id = one, origin, 0

    async def post(self, body: Any, *, host: str = "localhost") -> httpx.Response:
        headers = {"origin": self._origin, "content-type": "application/json", "accept": "*/*"}
        url = f"http://{host}:{self._one.port}/"
        return await self._one.client.post(url, json=body, headers=headers)

    def request(self, method: str, *params: Any) -> dict[str, Any]:
        self._id += 1
        return {"id": self._id, "jsonrpc": "2.0", "method": method, "params": list(params)}

    async def __call__(self, method: str, *params: Any) -> Any:
        response = await self.post(self.request(method, *params))
        assert response.headers["access-control-allow-origin"] == self._origin
        answer = response.json()
        assert "error" not in answer, answer
        return answer["result"]


async def test_a_network_is_added_and_money_is_sent(tmp_path: Path) -> None:
    """From the form to the confirmed receipt, with nothing but what the extension sends."""
    async with op_served(tmp_path) as one:
        wallet, me = Wallet(one), RICH.address.lower()
        await one.extend()

        assert await wallet("eth_chainId") == hex(CHAIN_ID)  # the form's check
        assert await wallet("net_version") == str(CHAIN_ID)
        head = await wallet("eth_blockNumber")
        block = await wallet("eth_getBlockByNumber", head, False)
        assert "baseFeePerGas" in block  # then it offers EIP-1559
        batch = [wallet.request("eth_getBalance", a, head) for a in (me, PAYEE)]
        balances = (await wallet.post(batch)).json()
        assert [b["result"] for b in balances] == [hex(1_000 * ETHER), "0x0"]

        assert await wallet("eth_getCode", PAYEE, "latest") == "0x"  # a plain account?
        fees = await wallet("eth_feeHistory", "0x5", "latest", [10, 20, 30])
        assert len(fees["baseFeePerGas"]) == len(fees["reward"]) + 1
        assert int(await wallet("eth_gasPrice"), 16) > int(fees["baseFeePerGas"][-1], 16)
        tip = int(await wallet("eth_maxPriorityFeePerGas"), 16)
        draft = {"from": me, "to": PAYEE, "value": "0x1", "data": "0x", "type": "0x2"}
        fee = int(fees["baseFeePerGas"][-1], 16) * 2 + tip
        draft |= {"maxFeePerGas": hex(fee), "maxPriorityFeePerGas": hex(tip), "gas": "0xd59f80"}
        gas = int(await wallet("eth_estimateGas", draft), 16)
        assert await wallet("eth_call", {"to": ORACLE, "data": "0x49948e0e"}, "latest") == "0x"
        nonce = int(await wallet("eth_getTransactionCount", me, "pending"), 16)
        raw = signed(nonce, gas=gas, maxFeePerGas=fee, maxPriorityFeePerGas=tip)
        sent = await wallet("eth_sendRawTransaction", "0x" + raw.hex())

        assert await wallet("eth_getTransactionReceipt", sent) is None  # it polls
        assert (await wallet("eth_getTransactionByHash", sent))["blockHash"] is None
        assert await wallet("eth_getTransactionCount", me, "pending") == "0x1"
        assert await wallet("eth_getTransactionCount", me, "latest") == "0x0"
        await one.extend()
        receipt = await wallet("eth_getTransactionReceipt", sent)
        assert (receipt["status"], receipt["gasUsed"]) == ("0x1", hex(gas))
        mined = await wallet("eth_getBlockByHash", receipt["blockHash"], False)
        assert sent in mined["transactions"]
        assert await wallet("eth_getBalance", PAYEE, "latest") == "0x1"


async def test_what_the_wallet_shows_of_a_refusal(tmp_path: Path) -> None:
    """Codes and words that it translates for its user."""
    async with op_served(tmp_path) as one:
        wallet = Wallet(one)
        poor = {"from": "0x" + "55" * 20, "to": PAYEE, "value": "0x1"}
        for request, words in (
            (wallet.request("eth_estimateGas", poor), "insufficient funds"),
            (
                wallet.request("eth_sendRawTransaction", "0x" + signed(0, value=10**30).hex()),
                ("insufficient funds"),
            ),
            (
                wallet.request(
                    "eth_sendRawTransaction",
                    "0x" + signed(0, maxFeePerGas=10**9 // 8, maxPriorityFeePerGas=1).hex(),
                ),
                "underpriced",
            ),
        ):
            answer = (await wallet.post(request)).json()
            assert (answer["id"], answer["error"]["code"]) == (request["id"], -32000)
            assert words in answer["error"]["message"]


async def test_nobody_else_speaks_from_a_browser(tmp_path: Path) -> None:
    """A page that is not named is refused; a named one may ask, after its browser's preflight."""
    async with op_served(tmp_path, origins=[PAGE]) as one:
        url = f"http://127.0.0.1:{one.port}/"
        preflight = {
            "origin": PAGE,
            "access-control-request-method": "POST",
            "access-control-request-headers": "content-type",
        }
        allowed = await one.client.options(url, headers=preflight)
        assert allowed.status_code == 204
        assert allowed.headers["access-control-allow-origin"] == PAGE
        assert "POST" in allowed.headers["access-control-allow-methods"]
        assert "content-type" in allowed.headers["access-control-allow-headers"]
        assert await Wallet(one, PAGE)("eth_chainId") == hex(CHAIN_ID)

        for origin in ("https://evil.example", "http://app.example", "null", f"{PAGE}.evil"):
            asked = await one.client.options(url, headers=preflight | {"origin": origin})
            evil = Wallet(one, origin)
            answer = await evil.post(evil.request("eth_chainId"))
            assert (asked.status_code, answer.status_code) == (403, 403)
            assert "access-control-allow-origin" not in answer.headers
        for origin in (PAGE, EXTENSION):
            wallet = Wallet(one, origin)
            drive = (
                await wallet.post(wallet.request("openledger_buildBlock", "0x7fffffff"))
            ).json()
            assert drive["error"]["code"] == -32601


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_either_name_of_this_machine_will_do(tmp_path: Path, host: str) -> None:
    async with op_served(tmp_path) as one:
        wallet = Wallet(one)
        answer = (await wallet.post(wallet.request("eth_chainId"), host=host)).json()

    assert answer["result"] == hex(CHAIN_ID)

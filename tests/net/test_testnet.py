"""The whole circle in real processes: the story under kill -9, a second start, real clients."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from web3 import HTTPProvider, Web3

from node.http.payment import VOUCHER, write_voucher
from node.keystore import decrypt
from node.testnet.docstrings import collect
from node.testnet.folder import PASSWORD, Folder
from protocol.receipt import Voucher, domain
from protocol.signature import address_of

ROOT = Path(__file__).parents[2]
STORY_SECONDS, START_SECONDS, STOP_SECONDS = 1_500, 400, 90
KILLS, SEED, WINDOW = 3, 11, 60
PLAY = """
import sys
from pathlib import Path
from node.testnet import demo
sys.exit(demo(folder=Path(sys.argv[1]), nodes=5, model=None, window={window}, seed={seed},
              keep=True, as_json=True, kills={kills}))
"""
KINDS = {
    *("mismatch", "longer", "earlier", "omitted", "contributor", "echo", "arithmetic"),
    "influence",
}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder of a story that was played while nodes were killed, and its data."""
    folder = tmp_path_factory.mktemp("story") / "net"
    code = PLAY.format(window=WINDOW, seed=SEED, kills=KILLS)
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=STORY_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:] + _logs(folder)
    assert done.stderr.count("kill -9") == KILLS
    return folder, json.loads(done.stdout)


def _logs(folder: Path) -> str:
    logs = sorted(folder.glob("nodes/*/log"))
    return "".join(f"\n== {log}\n{log.read_text(errors='replace')[-1500:]}" for log in logs)


def test_the_story_pays_to_the_wei_although_nodes_are_killed(
    played: tuple[Path, dict[str, Any]],
) -> None:
    told = played[1]

    assert len(told["answers"]) == 4
    assert [bool(answer["spans"]) for answer in told["answers"]] == [True, True, True, False]
    sums = told["sums"]
    assert sums["equal"]
    assert int(sums["in"]) == int(sums["out"]) + int(sums["burned"])
    assert int(sums["in_fees"]) >= sum(int(answer["amount"]) for answer in told["answers"])
    assert all(row["explained"] for row in told["paid"])
    share = sum(int(answer["amount"]) // 2 for answer in told["answers"])
    assert sum(int(row["amount"]) for row in told["paid"]) == share


def test_what_spans_do_not_cover_is_paid_by_influence_and_explained(
    played: tuple[Path, dict[str, Any]],
) -> None:
    told = played[1]

    assert told["features"]["examples"] == len(collect())
    why = told["why"]
    assert why["status"] == "final"
    assert why["threshold"]["examples"] == len(collect())
    paid = [one for one in why["influences"] if int(one["amount"]["wei"])]
    assert paid
    assert all(float(one["sigmas"]) > 3 and one["text"] for one in paid)
    split = why["split"]
    rest = split["contributors"]
    parts = [split["platform"], *split["model"].values(), split["stakers"]]
    parts += [rest["spans"], rest["influences"], rest["treasury"]]
    assert sum(int(part["wei"]) for part in parts) == int(split["fee"]["wei"])
    assert re.fullmatch("0x[0-9a-f]{64}", why["transaction"])
    reasons = [reason for row in told["paid"] for reason in row["reasons"]]
    assert any("example" in reason for reason in reasons)


def test_a_copyist_earns_nothing_by_words(played: tuple[Path, dict[str, Any]]) -> None:
    row = next(row for row in played[1]["paid"] if row["name"] == "mallory")
    assert not [reason for reason in row["reasons"] if reason["words"] is not None]


def test_money_enters_and_leaves_by_the_portal_and_all_derive_one_chain(
    played: tuple[Path, dict[str, Any]],
) -> None:
    told = played[1]
    assert told["withdrawal"]["stage"] == "paid on L1"
    assert int(told["withdrawal"]["amount"]) == 25 * 10**18
    chains = told["chains"]
    assert {row["node"] for row in chains} == {"sequencer", "curator", "validator"}
    assert all(row["finalized"] > 0 for row in chains)


def test_every_kind_of_lie_is_refuted_on_chain(played: tuple[Path, dict[str, Any]]) -> None:
    lies = played[1]["lies"]
    assert {lie["kind"] for lie in lies} == KINDS
    assert all(int(lie["slashed"]) >= 10 * 10**18 and 0 < lie["gas"] < 600_000 for lie in lies)
    assert len({lie["challenge"] for lie in lies}) == len(lies)


@contextmanager
def running(folder: Path) -> Iterator[dict[str, Any]]:
    """`openledger testnet` on the folder of the story: a second start."""
    command = [sys.executable, "-m", "node", "testnet", "--dir", str(folder), "--json"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), True)
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(STOP_SECONDS) == 0


def test_a_second_start_goes_on_and_real_clients_work(
    played: tuple[Path, dict[str, Any]],
) -> None:
    folder, told = played
    with running(folder) as network:
        web3 = Web3(HTTPProvider(network["rpc"]))
        oracle = web3.eth.contract(
            address=web3.to_checksum_address(network["contracts"]["AttributionOracle"]),
            abi=json.loads((ROOT / "contracts/artifacts/AttributionOracle.json").read_text())[
                "abi"
            ],
        )
        assert oracle.functions.batchCount().call() >= len(told["lies"]) + 1
        posted = oracle.events.BatchPosted().get_logs(from_block=0)
        assert len(posted) == oracle.functions.batchCount().call()

        assert _blocks_by_gossip(network["nodes"]["validator"])
        answer = _ask(folder, network, web3)
        assert answer.choices[0].message.content


def _blocks_by_gossip(url: str) -> bool:
    """Whether unsafe blocks reach a deriving node before L1 shows them."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        shown = httpx.get(f"{url}/metrics", trust_env=False).text
        if re.search(r'^openledger_p2p_events{event="block:accept"} [1-9]', shown, re.MULTILINE):
            return True
        time.sleep(0.5)
    return False


def _contract(web3: Web3, network: dict[str, Any], name: str) -> Any:
    abi = json.loads((ROOT / f"contracts/artifacts/{name}.json").read_text())["abi"]
    return web3.eth.contract(web3.to_checksum_address(network["contracts"][name]), abi=abi)


def _ask(folder: Path, network: dict[str, Any], web3: Web3) -> Any:
    """One paid chat completion with the official client."""
    payer = Folder.signer_of(folder, "payer")
    host = web3.to_checksum_address(_operator(folder, "host"))
    client = openai.OpenAI(base_url=network["nodes"]["host"] + "/v1", api_key="none", timeout=60)
    until = time.monotonic() + START_SECONDS
    while not (models := client.models.list().data) and time.monotonic() < until:
        time.sleep(0.5)  # the host loads the adapter when it has seen the chain
    model = models[0]
    messages: Any = [{"role": "user", "content": "# heapq"}]
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model=model.id, messages=messages, max_tokens=8)
    assert caught.value.status_code == 402
    adapter = bytes.fromhex(model.model_extra["openledger"]["adapter"][2:])  # type: ignore[index]
    escrow = bytes.fromhex(network["contracts"]["InferenceEscrow"][2:])
    paid = (
        _contract(web3, network, "InferenceEscrow")
        .functions.redeemed(web3.to_checksum_address(payer.address.hex()), host, adapter)
        .call()
    )
    voucher = Voucher(payer.address, bytes.fromhex(host[2:]), adapter, paid + 10**18)
    signature = payer.sign(voucher.digest(domain(web3.eth.chain_id, escrow)))
    headers = {VOUCHER: write_voucher(voucher, signature)}
    return client.chat.completions.create(
        model=model.id, messages=messages, max_tokens=8, extra_headers=headers
    )


def _operator(folder: Path, name: str) -> str:
    key = decrypt(folder / "nodes" / name / "operator.json", PASSWORD.strip())
    return "0x" + address_of(key).hex()

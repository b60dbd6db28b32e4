"""The engine's life: start, refusals with their exit codes, death at any moment, an orderly end."""

import json
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.net.engine_process import (
    CHAIN_ID,
    PATIENCE,
    RICH,
    START,
    Engine,
    arguments,
    ends,
    engine,
    transaction,
)

PAYEE = b"\x77" * 20


def test_a_taken_port_is_one_sentence_and_exit_code_3(tmp_path: Path) -> None:
    """Also when the holder would share it: SO_REUSEPORT must not make two engines of one."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]

        code, said = ends(arguments(tmp_path, port))

    assert code == 3
    assert said.startswith(f"openledger engine: port {port} on loopback is taken")
    assert said.count("\n") == 1


def test_a_corrupt_store_is_exit_code_4_and_nothing_is_deleted(tmp_path: Path) -> None:
    """One flipped byte in the log; the files stay for whoever can repair them."""
    with engine(tmp_path) as running:
        for n in range(3):
            running.send(n, to=PAYEE, value=1)
            running.build()
    (log,) = (tmp_path / "data" / "chain").glob("*.log")
    damaged = bytearray(log.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    log.write_bytes(damaged)

    code, said = ends(arguments(tmp_path))

    assert code == 4
    assert "cannot be read" in said
    assert "nothing was deleted" in said
    assert said.count("\n") == 1
    assert log.read_bytes() == bytes(damaged)


def test_another_genesis_is_exit_code_4(tmp_path: Path) -> None:
    """A store goes with its chain; mixing two would serve neither."""
    with engine(tmp_path) as running:
        running.build()

    code, said = ends(arguments(tmp_path, timestamp=START + 1))

    assert code == 4
    assert "another genesis" in said


def test_a_directory_in_use_is_exit_code_5_and_a_bad_genesis_2(tmp_path: Path) -> None:
    """The running engine is not disturbed."""
    with engine(tmp_path) as running:
        code, said = ends(arguments(tmp_path))
        assert (code, "used by another process" in said) == (5, True)
        assert int(running.build()["number"], 16) == 1
    bad = tmp_path / "genesis-1.json"
    command = arguments(tmp_path, timestamp=1)
    bad.write_text('{"config": {}}')

    code, said = ends(command)

    assert (code, "genesis is malformed" in said) == (2, True)


def test_it_stops_in_order_when_asked(tmp_path: Path) -> None:
    """SIGTERM: exit code 0."""
    with engine(tmp_path) as running:
        running.build()
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(PATIENCE) == 0


def test_it_stops_when_its_parent_is_killed(tmp_path: Path) -> None:
    """A killed daemon leaves no orphan that holds port and store."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as parent:
        command = [*arguments(tmp_path), "--parent-pid", str(parent.pid)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            assert json.loads(child.stdout.readline())["port"]

            parent.kill()

            assert child.wait(PATIENCE) == 0


def test_rollback_needs_its_flag(tmp_path: Path) -> None:
    """In production the method does not exist."""
    with engine(tmp_path) as running:
        assert running.answer("openledger_rollback", "0x0")["error"]["code"] == -32601


def test_readers_are_answered_while_a_block_is_built(tmp_path: Path) -> None:
    """Execution runs beside the event loop: reads come back before the block is done."""
    with engine(tmp_path) as running:
        for n in range(100):
            running.send(n, to=n.to_bytes(20, "big"), value=1)
        done = threading.Event()

        def build() -> None:
            with httpx.Client(timeout=PATIENCE, trust_env=False) as client:
                Engine(running.process, running.port, client).build()
            done.set()

        builder = threading.Thread(target=build)
        builder.start()
        during = 0
        while not done.is_set():
            running("eth_blockNumber")
            during += 1
        builder.join()

        assert during >= 3
        assert len(running("eth_getBlockByNumber", "latest", False)["transactions"]) == 100


@pytest.mark.parametrize("seed", range(4))
def test_kill_9_at_any_moment_loses_no_acknowledged_block(tmp_path: Path, seed: int) -> None:
    """The head after a restart is one that was built, has its state, and the chain goes on."""
    draw = random.Random(seed)
    acknowledged: dict[str, str] = {}
    nonce = 0
    for _ in range(2):
        with engine(tmp_path) as running:
            nonce = int(running("eth_getTransactionCount", RICH.address, "latest"), 16)
            killer = threading.Timer(draw.uniform(0.05, 0.6), running.process.kill)
            killer.start()
            try:
                while True:
                    for _ in range(5):
                        running.send(nonce, to=PAYEE, value=1, gas=21_000)
                        nonce += 1
                    block = running.build()
                    acknowledged[block["number"]] = block["hash"]
            except (httpx.TransportError, ValueError):
                killer.join()
        with engine(tmp_path) as running:
            check(running, acknowledged)


def check(running: Engine, acknowledged: dict[str, str]) -> None:
    head = running("eth_getBlockByNumber", "latest", False)
    last = max((int(number, 16) for number in acknowledged), default=0)
    assert int(head["number"], 16) in (last, last + 1)
    for number, block_hash in acknowledged.items():
        assert running("eth_getBlockByNumber", number, False)["hash"] == block_hash
    paid = sum(
        len(running("eth_getBlockByNumber", hex(n), False)["transactions"])
        for n in range(int(head["number"], 16) + 1)
    )
    assert int(running("eth_getBalance", "0x" + PAYEE.hex(), "latest"), 16) == paid
    assert int(running("eth_getTransactionCount", RICH.address, "latest"), 16) == paid
    running("eth_sendRawTransaction", "0x" + transaction(paid, to=PAYEE, value=1).hex())
    built = running.build()
    assert built["parentHash"] == head["hash"]
    assert len(built["transactions"]) == 1
    acknowledged[built["number"]] = built["hash"]


def test_deep_recursion_ends_in_the_interpreter_not_in_the_process(tmp_path: Path) -> None:
    """A contract that calls itself to the limit, in a call and in a block."""
    # CALLs itself with all gas: PUSH0 x5 ADDRESS GAS CALL STOP
    runtime = bytes.fromhex("5f5f5f5f5f305af100")
    init = b"\x60%c\x80\x60\x0a\x5f\x39\x5f\xf3\x00" % len(runtime) + runtime
    with engine(tmp_path) as running:
        running.send(0, data=init)
        address = running("eth_getTransactionReceipt", running.build()["transactions"][0]["hash"])[
            "contractAddress"
        ]

        started = time.monotonic()
        running.answer("eth_call", {"to": address}, "latest")
        running.send(1, to=bytes.fromhex(address[2:]), gas=14_000_000)
        block = running.build()

        assert len(block["transactions"]) == 1
        assert running("eth_chainId") == hex(CHAIN_ID)
        print(f"deep recursion took {time.monotonic() - started:.1f} s")

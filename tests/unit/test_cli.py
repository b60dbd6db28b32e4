"""The command line says what is wrong in one sentence and ends with the code it documents."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import get_args

import pytest

from config.settings import Role, load
from node import cli, exits, keystore
from node.check import problems
from node.cli import main
from node.store import Store

GOOD = """network = "devnet"
data_dir = "data"
roles = ["validator"]
[keys]
password_file = "pw"
[p2p]
listen = "/ip4/127.0.0.1/tcp/0"
[http]
listen = "127.0.0.1:0"
"""


@pytest.fixture(autouse=True)
def cheap_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keystore.encrypt, "__kwdefaults__", {"overwrite": False, "cost": 2})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "node.toml").write_text(GOOD)
    (tmp_path / "pw").write_text("secret")
    keystore.encrypt(tmp_path / "operator.json", bytes(31) + b"\x07", "secret")
    return tmp_path / "node.toml"


Captured = pytest.CaptureFixture[str]


def test_init_makes_what_check_accepts(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "pw").write_text("secret")
    file = tmp_path / "new" / "node.toml"
    command = ["init", str(file), "--role", "curator", "--role", "prover"]

    assert main([*command, "--password-file", str(tmp_path / "pw")]) == exits.OK
    said = capsys.readouterr().out
    settings = load(file)
    file.write_text(file.read_text().replace("/tcp/4001", "/tcp/0").replace(":8080", ":0"))

    assert settings.roles == ("curator", "prover")
    assert keystore.address_in(settings.keys.keystore) in said
    assert main(["check", str(file)]) == exits.OK


@pytest.mark.parametrize("role", get_args(Role))
def test_init_writes_for_each_role_what_loads(tmp_path: Path, capsys: Captured, role: str) -> None:
    """And what is left to the operator is marked, and is all that `check` complains of."""
    (tmp_path / "pw").write_text("secret")
    file = tmp_path / "node.toml"
    command = ["init", str(file), "--role", role, "--password-file", str(tmp_path / "pw")]

    assert main(command) == exits.OK
    said, text = capsys.readouterr().out, file.read_text()
    file.write_text(
        re.sub(r"(/4001|:8080)\b", lambda m: m[0][0] + "0", text).replace(":8545", ":58545")
    )
    told = [str(fault) for fault in problems(file)]

    assert load(file).roles == (role,)
    assert (f"{text.count('to do: ')} places" in said) == ("to do: " in text)
    assert ("ether on L1" in said) == (role == "sequencer")
    wanted = {"sequencer": ["rollup.config: "], "host": ["host.base_model: "]}.get(role, [])
    assert len(told) == len(wanted)
    assert all(line.startswith(want) for line, want in zip(told, wanted, strict=True))


def test_init_overwrites_nothing(file: Path, capsys: Captured) -> None:
    before = {path: path.read_bytes() for path in file.parent.iterdir()}

    assert main(["init", str(file), "--role", "host"]) == exits.USAGE
    assert main(["init", str(file.with_name("other.toml")), "--role", "host"]) == exits.USAGE

    assert "exists and was left as it is" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in file.parent.iterdir()} == before


def test_init_refuses_an_unknown_role_and_leaves_nothing(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "pw").write_text("secret")
    command = ["init", str(tmp_path / "n.toml"), "--password-file", str(tmp_path / "pw")]

    assert main([*command, "--role", "hots"]) == exits.USAGE
    assert "roles.0: want 'curator'" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["pw"]


def test_check_is_silent_about_a_good_node(file: Path, capsys: Captured) -> None:
    before = sorted(file.parent.iterdir())

    assert main(["check", str(file)]) == exits.OK
    assert main(["check", str(file), "--json"]) == exits.OK
    answer = {"ok": True, "problems": [], "notes": []}
    assert json.loads(capsys.readouterr().out.splitlines()[1]) == answer
    assert sorted(file.parent.iterdir()) == before, "a check makes nothing"


def wrong_settings(file: Path) -> None:
    file.write_text(GOOD + "[log]\nlevle = 'info'\n")


def no_network(file: Path) -> None:
    file.write_text(GOOD.replace("devnet", "mars"))


def no_model(file: Path) -> None:
    file.write_text(GOOD.replace("validator", "host"))


def lost_key(file: Path) -> None:
    file.with_name("operator.json").unlink()


def wrong_password(file: Path) -> None:
    file.with_name("pw").write_text("other")


def public_key_file(file: Path) -> None:
    file.with_name("operator.json").chmod(0o644)


def corrupt_store(file: Path) -> None:
    Store.open(file.parent / "data" / "store").close()
    (file.parent / "data" / "store" / "CURRENT").unlink()


def one_port_twice(file: Path) -> None:
    file.write_text(GOOD.replace("tcp/0", "tcp/4001").replace("1:0", "1:4001"))


@pytest.mark.parametrize(
    ("spoil", "code", "message"),
    [
        (wrong_settings, exits.USAGE, "log.levle: unknown key; did you mean `level`? (line 11)"),
        (no_network, exits.USAGE, "one of devnet"),
        (no_model, exits.USAGE, "host.base_model: missing"),
        (one_port_twice, exits.USAGE, "want a port each"),
        (lost_key, exits.KEY, "is missing; restore it from your backup"),
        (wrong_password, exits.KEY, "the password is wrong"),
        (public_key_file, exits.KEY, "run `chmod 600"),
        (corrupt_store, exits.STORE, "is corrupt: CURRENT is missing"),
    ],
)
def test_check_tells_each_problem_once(
    file: Path, capsys: Captured, spoil: object, code: int, message: str
) -> None:
    assert callable(spoil)
    spoil(file)

    assert main(["check", str(file), "--json"]) == code
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert problem["code"] == code
    assert message in problem["problem"]


def test_check_tells_an_occupied_port_and_all_else_too(file: Path, capsys: Captured) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file.write_text(GOOD.replace("1:0", f"1:{port}"))
        lost_key(file)

        assert main(["check", str(file)]) == exits.KEY
    said = capsys.readouterr().err
    assert f"http.listen: port {port} on 127.0.0.1 is taken by another process" in said
    assert "operator.json is missing" in said


def test_check_online_names_a_silent_chain(file: Path, capsys: Captured) -> None:
    with socket.create_server(("127.0.0.1", 0)) as quiet:
        port = quiet.getsockname()[1]
    file.write_text(GOOD + f'[chain]\nrpc_url = "http://127.0.0.1:{port}"\n')

    assert main(["check", "--online", str(file)]) == exits.CHAIN
    assert "does not answer eth_chainId: [Errno 111] Connection refused" in capsys.readouterr().err


@contextmanager
def chain(chain_id: int, balance: int) -> Iterator[str]:
    """A JSON-RPC server that knows two answers; its URL."""
    answers = {"eth_chainId": hex(chain_id), "eth_getBalance": hex(balance)}

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": answers[asked["method"]]})
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("chain_id", "balance", "code", "message"),
    [
        (31337, 1, exits.OK, ""),
        (31337, 0, exits.CHAIN, "has no funds on chain 31337; send it OPEN"),
        (1, 1, exits.CHAIN, "is chain 1, network devnet is 31337"),
    ],
)
def test_check_online_asks_the_chain(
    file: Path, capsys: Captured, chain_id: int, balance: int, code: int, message: str
) -> None:
    with chain(chain_id, balance) as url:
        file.write_text(GOOD + f'[chain]\nrpc_url = "{url}"\n')

        assert main(["check", "--online", str(file)]) == code
    assert message in capsys.readouterr().err


def test_status_of_a_node_that_does_not_run(file: Path, capsys: Captured) -> None:
    with socket.create_server(("127.0.0.1", 0)) as quiet:
        port = quiet.getsockname()[1]
    file.write_text(GOOD.replace("1:0", f"1:{port}"))

    assert main(["status", str(file)]) == exits.USAGE
    assert "no node answers at" in capsys.readouterr().err


class Boom(exits.Fault):
    code = exits.CHAIN


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Boom("no funds"), exits.CHAIN),
        (ExceptionGroup("", [ExceptionGroup("", [Boom("no funds")])]), exits.CHAIN),
        (ExceptionGroup("", [Boom("no funds"), ZeroDivisionError()]), exits.BUG),
        (ZeroDivisionError(), exits.BUG),
        (BaseExceptionGroup("", [KeyboardInterrupt()]), exits.INTERRUPTED),
        (KeyboardInterrupt(), exits.INTERRUPTED),
    ],
)
def test_how_run_ends(
    file: Path,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
) -> None:
    """Faults are one sentence; a bug shows its traceback."""

    def run(settings: object) -> None:
        raise error

    monkeypatch.setattr(cli, "import_module", lambda name: SimpleNamespace(run=run))
    monkeypatch.setattr("node.logs.configure", lambda level, form: None)

    assert main(["run", str(file)]) == code
    said = capsys.readouterr().err
    assert ("Traceback" in said) == (code == exits.BUG)
    assert ("openledger: no funds" in said) == (code == exits.CHAIN)


def test_usage_errors(capsys: Captured) -> None:
    assert main(["run"]) == exits.USAGE
    assert main(["dance"]) == exits.USAGE
    assert main(["testnet", "--nodes", "2"]) == exits.USAGE
    assert "No such command 'dance'" in capsys.readouterr().err


def test_keys_new_list_export_change(tmp_path: Path, capsys: Captured) -> None:
    file = str(tmp_path / "a.json")
    (tmp_path / "one").write_text("one")
    (tmp_path / "two").write_text("two")
    one, two = (["--password-file", str(tmp_path / name)] for name in ("one", "two"))

    assert main(["keys", "new", file, *one]) == exits.OK
    address = capsys.readouterr().out.split()[0]
    assert main(["keys", "list", str(tmp_path), "--json"]) == exits.OK
    assert json.loads(capsys.readouterr().out) == [{"file": file, "address": address}]
    assert main(["keys", "export", file, *one]) == exits.KEY
    assert main(["keys", "export", file, *one, "--yes"]) == exits.OK
    secret = capsys.readouterr().out.strip()
    change = ["keys", "change-password", file, *one, "--new-password-file", two[1]]
    assert main(change) == exits.OK
    assert main(["keys", "export", file, *one, "--yes"]) == exits.KEY
    (tmp_path / "hex").write_text(secret)
    copy = str(tmp_path / "b.json")
    assert main(["keys", "import", copy, "--secret-file", str(tmp_path / "hex"), *two]) == exits.OK
    assert keystore.address_in(Path(copy)) == address


def test_nothing_prompts_under_a_service(tmp_path: Path) -> None:
    """With no terminal `keys new` ends at once with the key's exit code."""
    ended = subprocess.run(
        [sys.executable, "-m", "node", "keys", "new", str(tmp_path / "k.json")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=Path(cli.__file__).parents[1],
        timeout=60,
    )

    assert ended.returncode == exits.KEY
    assert ended.stderr.startswith("openledger: no password for the key: set keys.password_file")
    assert not list(tmp_path.iterdir())

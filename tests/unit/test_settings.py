"""A settings file is either right or refused with the place, the reason and a remedy."""

import re
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.network import NETWORKS, Network, load_network, write_network
from config.settings import ConfigError, Settings, Table, build, load, table_of
from config.toml import places, write

EXAMPLE = Path(__file__).parents[2] / "config" / "node.example.toml"
GOOD = 'network = "devnet"\ndata_dir = "data"\nroles = ["host"]\n'
PEER = "16Uiu2HAm7WbKKnBjWvB3YHzhKkUeaTBYTJgFNYDsBDkYZCFmKqUd"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "node.toml"


def test_the_shipped_example_loads() -> None:
    settings = load(EXAMPLE)

    assert settings.roles == ("host", "validator")
    assert settings.keys.keystore == EXAMPLE.parent / "operator.json"


def test_the_example_names_every_table() -> None:
    """A table that the example forgets is a table that no operator finds."""
    tables = {place[0] for place in places(EXAMPLE.read_text()) if len(place) > 1}
    inner = {n for n, f in Settings.model_fields.items() if table_of(f.annotation)}

    assert tables == inner


def keys_of(kind: type[Table]) -> Iterator[str]:
    for name, shown in kind.model_fields.items():
        inner = table_of(shown.annotation)
        yield from (name,) if inner is None or name == "folder" else keys_of(inner)


def test_the_example_names_every_key() -> None:
    """In a comment, where it is for few."""
    named = set(re.findall(r"\w+", EXAMPLE.read_text()))

    assert set(keys_of(Settings)) - {"folder"} <= named


def test_paths_are_relative_to_the_file(file: Path) -> None:
    file.write_text(GOOD + '[keys]\npassword_file = "secret/pw"\n[host]\nbase_model = "/m"\n')

    settings = load(file)

    assert settings.data_dir == file.parent / "data"
    assert settings.keys.password_file == file.parent / "secret" / "pw"
    assert settings.host.base_model == Path("/m")
    assert settings.folder == file.parent


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            GOOD + '[p2p]\nlisten = "x"\n',
            "node.toml: p2p.listen: want a multiaddr such as "
            '/ip4/0.0.0.0/tcp/4001, got "x" (line 5)',
        ),
        (
            GOOD + "[p2p]\npeer_max = 3\n",
            "node.toml: p2p.peer_max: unknown key; did you mean `peers_max`? (line 5)",
        ),
        (
            GOOD.replace("network", "netwrk"),
            "node.toml: network: missing; add `network = ...`\n"
            "node.toml: netwrk: unknown key; did you mean `network`? (line 1)",
        ),
        (
            GOOD + '[rollup]\nl1_rpc_url = "http://l1"\nconfigs = 1\n',
            "node.toml: rollup.configs: unknown key; did you mean `config`? (line 6)",
        ),
        (
            GOOD.replace('"host"', '"sequencer"'),
            "node.toml: roles: a sequencer needs the table [rollup]",
        ),
        (
            GOOD + '[chain]\nconfirmations = "2"\n',
            'node.toml: chain.confirmations: want integer, got "2" (line 5)',
        ),
        (
            GOOD + "[p2p]\npeers_max = 0\n",
            "node.toml: p2p.peers_max: want greater than or equal to 1, got 0 (line 5)",
        ),
        (
            GOOD.replace('"host"', '"hots"'),
            "node.toml: roles.0: want 'curator', 'host', 'prover', 'validator' or 'sequencer', "
            'got "hots" (line 3)',
        ),
        (GOOD.replace('["host"]', '["host", "host"]'), "node.toml: roles: want each role once"),
        (GOOD.replace('["host"]', "[]"), "node.toml: roles: "),
        (
            GOOD + '[keys]\npassword_file = "a"\npassword_env = "b"\n',
            "node.toml: keys: want one of password_file, password_credential, password_env",
        ),
        (GOOD + '[http]\nlisten = "127.0.0.1"\n', "node.toml: http.listen: want HOST:PORT"),
        (GOOD + '[chain]\nrpc_url = "localhost:1"\n', "node.toml: chain.rpc_url: want a URL"),
        (
            GOOD + '[p2p]\nbootstrap = ["/ip4/1.2.3.4/tcp/1"]\n',
            "node.toml: p2p.bootstrap.0: want a multiaddr such as /ip4/192.0.2.1/tcp/4001/p2p/",
        ),
        (GOOD + '[http]\nlisten = "[::1:80"\n', "node.toml: http.listen: want HOST:PORT"),
        (GOOD + '[keys]\nkeystore = "\\u0000"\n', "keys.keystore: want a path without a zero"),
        (GOOD + '[keys]\nkeystore = "~nobody-here/k"\n', "~ of a known user"),
        (GOOD + "x = " + "9" * 5000 + "\n", "node.toml: not TOML that one can use: Exceeds"),
        (GOOD + "x = " + "[" * 3000 + "]" * 3000, "node.toml: "),
        (GOOD + "[chain]\npoll_seconds = nan\n", "node.toml: chain.poll_seconds: want "),
        (GOOD + "folder = '/x'\n", "node.toml: folder: unknown key"),
        (GOOD + "[p2p\n", "node.toml: not TOML: "),
        (GOOD + "p2p = 2020-01-01\n", "node.toml: p2p: want "),
    ],
)
def test_refuses_with_place_and_remedy(file: Path, text: str, message: str) -> None:
    file.write_text(text)

    with pytest.raises(ConfigError) as caught:
        load(file)

    assert message in str(caught.value)


def test_refuses_what_is_no_text(file: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(file)
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(file.with_name("absent.toml"))


def test_settings_are_frozen(file: Path) -> None:
    file.write_text(GOOD)
    with pytest.raises(ValueError, match="frozen"):
        load(file).network = "other"


def test_every_shipped_network_loads() -> None:
    names = [path.stem for path in NETWORKS.glob("*.toml")]

    assert "devnet" in names
    for name in names:
        assert load_network(name).name == name


def test_a_network_is_read_back_as_written(tmp_path: Path) -> None:
    network = Network(
        name="test-1",
        chain_id=901,
        fork_digest="0011aabb",
        deployment_block=7,
        bootstrap=(f"/ip4/127.0.0.1/tcp/4001/p2p/{PEER}",),
        contracts={"StakeVault": "0x" + "aB" * 20},
    )
    write_network(network, tmp_path / "net.toml")

    assert load_network("./net.toml", tmp_path) == network
    assert network.contract("StakeVault") == b"\xab" * 20
    with pytest.raises(ConfigError, match=r"contracts\.Oracle: missing"):
        network.contract("Oracle")


def test_an_unknown_network_names_the_known() -> None:
    with pytest.raises(ConfigError, match=r"no file .*mars.toml; .* one of devnet"):
        load_network("mars")


texts = st.text(st.characters(blacklist_categories=["Cs"]))


@given(st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), texts | st.lists(texts)))
def test_what_is_written_is_toml(values: dict[str, str | list[str]]) -> None:
    assert tomllib.loads(write(values)) == values


leaves = st.none() | st.booleans() | st.integers() | st.floats() | texts
tables: st.SearchStrategy[object] = st.deferred(
    lambda: leaves | st.lists(tables, max_size=3) | st.dictionaries(texts, tables, max_size=3)
)


@given(st.sampled_from(sorted(Settings.model_fields)), tables)
def test_any_value_is_taken_or_refused(key: str, value: object) -> None:
    """No value makes anything but settings or a `ConfigError`."""
    table = {"network": "devnet", "data_dir": "d", "roles": ["host"], key: value}

    with suppress(ConfigError):
        assert build(Settings, table, Path("absent.toml")).network

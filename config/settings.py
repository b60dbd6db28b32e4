"""What an operator may set: one TOML file, read once, every error with its place and a remedy."""

import difflib
import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from config import shapes
from config.toml import Place, places

FILE_BYTES_MAX = 1 << 20
SHOWN_CHARS_MAX = 60  # of a wrong value in a message

Role = Literal["curator", "host", "prover", "validator", "sequencer"]
Wei = Annotated[int, Field(ge=0, lt=1 << 128)]
Multiaddr = Annotated[str, AfterValidator(shapes.multiaddr)]
PeerAddr = Annotated[str, AfterValidator(shapes.peer_multiaddr)]
HostPort = Annotated[str, AfterValidator(shapes.host_port)]
HttpUrl = Annotated[str, AfterValidator(shapes.http_url)]
SomePath = Annotated[Path, AfterValidator(shapes.path)]
T = TypeVar("T", bound=BaseModel)


class ConfigError(Exception):
    """The file is wrong; each line of the message says where and what was expected."""


class Table(BaseModel):
    """Strict, closed and frozen: nothing is guessed, nothing unknown passes."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Keys(Table):
    """The operator's key.  Secrets are named by place, never held in this file."""

    keystore: SomePath = Path("operator.json")
    password_file: SomePath | None = None
    password_credential: str | None = Field(default=None, min_length=1)  # of systemd
    password_env: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def one_source(self) -> Self:
        given = (self.password_file, self.password_credential, self.password_env)
        if sum(source is not None for source in given) > 1:
            raise ValueError(
                "want one of password_file, password_credential, password_env, got several"
            )
        return self


class P2P(Table):
    listen: Multiaddr = "/ip4/0.0.0.0/tcp/4001"
    external: Multiaddr | None = None  # what others shall dial, when behind a router
    bootstrap: tuple[PeerAddr, ...] = ()  # besides those of the network file
    # without effect yet:
    peers_max: int = Field(default=50, ge=1, le=500)


class Http(Table):
    listen: HostPort = "127.0.0.1:8080"
    body_bytes_max: int = Field(default=1 << 20, ge=1024, le=1 << 28)
    requests_max: int = Field(default=256, ge=1, le=10_000)  # in flight at once


class Chain(Table):
    rpc_url: HttpUrl = "http://127.0.0.1:8545"
    confirmations: int = Field(default=2, ge=0, le=256)
    poll_seconds: float = Field(default=1.0, ge=0.05, le=60)
    timeout_seconds: float = Field(default=10.0, ge=0.1, le=120)  # of one call


class Log(Table):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"  # auto: console on a terminal


class Curator(Table):
    # without effect yet:
    datanet: int | None = Field(default=None, ge=1)  # None: create one at the first start
    # without effect yet:
    datanet_name: str = Field(default="datanet", min_length=1, max_length=64)
    # without effect yet:
    inbox: SomePath | None = None  # a folder of contributions to take in, besides HTTP
    # without effect yet:
    document_bytes_max: int = Field(default=1 << 20, ge=1, le=1 << 26)
    # without effect yet:
    publish_seconds: float = Field(default=3600, ge=1)


class Host(Table):
    base_model: SomePath | None = None  # a Hugging Face causal model on disk
    # without effect yet:
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda(:\d+)?|mps)$")
    adapters_resident_max: int = Field(default=64, ge=1, le=100_000)
    adapter_bytes_max: int = Field(default=1 << 28, ge=1024, le=1 << 34)
    batch_max: int = Field(default=16, ge=1, le=1024)  # sequences decoded together
    # without effect yet:
    output_tokens_max: int = Field(default=512, ge=1, le=32_768)
    prompt_price: Wei = 10**14  # wei per 1,000 tokens
    output_price: Wei = 10**15  # wei per 1,000 tokens


class Prover(Table):
    answers_max: int = Field(default=1_000, ge=1, le=10_000)  # of one batch
    batch_seconds: float = Field(default=60, ge=0.1)  # a batch waits no longer than this


class Influence(Table):
    """What computes features: of answers in a prover, of examples in who publishes or checks them.
    A host's `base_model` is used too."""

    base_models: tuple[SomePath, ...] = Field(default=(), max_length=16)  # as host.base_model
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda(:\d+)?)$")
    precision: Literal["float64", "float32"] = (
        "float64"  # float32 is faster, and off by one at times
    )


class Availability(Table):
    """A server of data availability for the bodies of batches, besides the peers."""

    url: HttpUrl | None = None  # an op-alt-da server, as eigenda-proxy or a sequencer's /da
    commitments: Literal["keccak", "generic"] = "keccak"  # which ones it makes


class Validator(Table):
    # without effect yet:
    sample_rate: float = Field(default=1.0, ge=0, le=1)  # of other people's answers recomputed


class Rollup(Table):
    """The L2 as this node derives it from L1.  Without the table, `chain.rpc_url` is trusted."""

    l1_rpc_url: HttpUrl
    l1_poll_seconds: float = Field(default=4.0, ge=0.05, le=60)
    l1_confirmations: int = Field(default=4, ge=0, le=256)  # of what is read and what is sent there
    config: SomePath = Path("rollup.json")
    genesis: SomePath = Path("genesis.json")  # of the embedded engine
    rpc_listen: HostPort = "127.0.0.1:8545"  # the L2's JSON-RPC, by the embedded engine
    rpc_origins: tuple[str, ...] = ()  # web pages that may call it
    sequencer_url: HttpUrl | None = None  # who gets the transactions that are sent to us
    engine_url: HttpUrl | None = None  # an Engine API elsewhere, as of op-reth; no embedded one
    jwt_file: SomePath | None = None  # its secret; None: made in data_dir for the embedded engine
    da_url: HttpUrl | None = None  # an op-alt-da server, as eigenda-proxy; for chains with alt-DA
    beacon_url: HttpUrl | None = None  # a consensus node of L1; for chains with batches in blobs
    blob_archive_url: HttpUrl | None = None  # asked for blobs that the consensus node has no more
    states_kept: int | None = Field(default=None, ge=128)  # None: those of all blocks

    @model_validator(mode="after")
    def fits_together(self) -> Self:
        if shapes.split_host_port(self.rpc_listen)[0] not in ("127.0.0.1", "localhost"):
            raise ValueError(
                "rollup: rpc_listen: want 127.0.0.1:PORT: the engine serves this machine only; "
                f"put a proxy before it for others, got {json.dumps(self.rpc_listen)}"
            )
        if self.engine_url is not None and self.jwt_file is None:
            raise ValueError("rollup: engine_url wants jwt_file, the secret of that engine")
        if self.blob_archive_url is not None and self.beacon_url is None:
            raise ValueError("rollup: blob_archive_url wants beacon_url, which knows the slots")
        return self


class Sequencer(Table):
    """What else the role needs; the chain itself is in the table `rollup`."""

    compression: Literal["brotli", "zlib", "smaller"] = "brotli"
    channel_blocks: int = Field(default=15, ge=1, le=300)  # L1 blocks until a channel is closed
    frame_bytes_max: int = Field(default=100_000, ge=1_000, le=120_000)  # of one L1 transaction
    propose: Literal["safe", "finalized"] = "finalized"  # which blocks' outputs are proposed
    serve_da: bool = False  # keep the data of others and serve it under /da


class Settings(Table):
    """The whole file.  Relative paths are relative to the folder of the file."""

    network: str = Field(min_length=1)  # a file in config/networks by name, or a path
    data_dir: SomePath
    roles: tuple[Role, ...] = Field(min_length=1)
    keys: Keys = Keys()
    p2p: P2P = P2P()
    http: Http = Http()
    chain: Chain = Chain()
    log: Log = Log()
    curator: Curator = Curator()
    host: Host = Host()
    prover: Prover = Prover()
    validator: Validator = Validator()
    influence: Influence = Influence()
    availability: Availability = Availability()
    rollup: Rollup | None = None
    sequencer: Sequencer = Sequencer()
    folder: Path = Field(default=Path(), exclude=True)  # where the file lies; set by `load`

    @model_validator(mode="after")
    def roles_once(self) -> Self:
        if len(set(self.roles)) < len(self.roles):
            raise ValueError("roles: want each role once")
        if "sequencer" in self.roles and self.rollup is None:
            raise ValueError("roles: a sequencer needs the table [rollup]")
        return self


def load(path: Path) -> Settings:
    """The settings in `path`, its relative paths resolved; `ConfigError` says what is wrong."""
    path = Path(path)
    table = read_toml(path)
    if "folder" in table:
        raise ConfigError(f"{path.name}: folder: unknown key; it is the file's own place")
    settings = build(Settings, table, path)
    return _resolved(settings, path.resolve().parent)


def build(kind: type[T], table: dict[str, Any], path: Path) -> T:
    """A `kind` of the TOML `table` read from `path`, or a `ConfigError` with located lines."""
    try:  # the JSON mode of pydantic is strict and yet makes paths and tuples
        return kind.model_validate_json(json.dumps(table, default=str))
    except ValidationError as error:
        lines = places(path.read_text(encoding="utf-8", errors="replace")) if path.exists() else {}
        located = [_located(kind, dict(item), lines, path.name) for item in error.errors()]
        raise ConfigError("\n".join(located)) from None


def read_toml(path: Path) -> dict[str, Any]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > FILE_BYTES_MAX:
        raise ConfigError(f"{path}: want at most {FILE_BYTES_MAX} bytes, got {len(data)}")
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path.name}: not UTF-8: byte {error.start}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path.name}: not TOML: {error}") from None
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits, 1,000 brackets
        raise ConfigError(f"{path.name}: not TOML that one can use: {error}") from None


def _located(
    kind: type[BaseModel], error: dict[str, Any], lines: dict[Place, int], name: str
) -> str:
    place = tuple(str(part) for part in error["loc"])
    line = next((lines[place[:n]] for n in range(len(place), 0, -1) if place[:n] in lines), None)
    where = f" (line {line})" if line else ""
    dotted = f" {'.'.join(place)}:" if place else ""
    return f"{name}:{dotted} {_said(kind, error, place)}{where}"


def _said(kind: type[BaseModel], error: dict[str, Any], place: Place) -> str:
    shown = json.dumps(error["input"], default=str, ensure_ascii=False)
    if len(shown) > SHOWN_CHARS_MAX:
        shown = shown[:SHOWN_CHARS_MAX] + "..."
    match error["type"]:
        case "extra_forbidden":
            return "unknown key" + _nearest(kind, place)
        case "missing":
            return "missing; " + f"add `{place[-1]} = ...`"
        case "value_error":
            text = str(error["ctx"]["error"])
            return text if ", got " in text or place == () else f"{text}, got {shown}"
        case _:
            text = error["msg"].removeprefix("Input should be ").removeprefix("a valid ")
            return f"want {text}, got {shown}"


def _nearest(kind: type[BaseModel], place: Place) -> str:
    fields = kind.model_fields
    for part in place[:-1]:
        inner = table_of(fields[part].annotation) if part in fields else None
        if inner is None:
            return ""
        fields = inner.model_fields
    known = [field for field in fields if field != "folder"]
    near = difflib.get_close_matches(place[-1], known, 1)
    return f"; did you mean `{near[0]}`?" if near else f"; known are {', '.join(known)}"


def table_of(annotation: Any) -> type[BaseModel] | None:
    """The table that a key holds, also one that may be left out; None for any other value."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _resolved(settings: Settings, folder: Path) -> Settings:
    keys = settings.keys
    password = keys.password_file
    inbox, model = settings.curator.inbox, settings.host.base_model
    rollup, influence = settings.rollup, settings.influence
    bases = tuple(folder / base for base in influence.base_models)
    return settings.model_copy(
        update={
            "folder": folder,
            "data_dir": folder / settings.data_dir,
            "keys": keys.model_copy(
                update={
                    "keystore": folder / keys.keystore,
                    "password_file": password and folder / password,
                }
            ),
            "curator": settings.curator.model_copy(update={"inbox": inbox and folder / inbox}),
            "host": settings.host.model_copy(update={"base_model": model and folder / model}),
            "influence": influence.model_copy(update={"base_models": bases}),
            "rollup": rollup
            and rollup.model_copy(
                update={
                    "config": folder / rollup.config,
                    "genesis": folder / rollup.genesis,
                    "jwt_file": rollup.jwt_file and folder / rollup.jwt_file,
                }
            ),
        }
    )

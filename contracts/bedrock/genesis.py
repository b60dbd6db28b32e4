"""The first block of the L2 in geth's format, and the rollup configuration as op-node reads it.

Isthmus is active from the first block on. Nobody owns anything on the L2 before a deposit. The code
of the predeploys is that of `published.predeploys`; what they keep in storage is set here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from contracts.bedrock.deploy import GAS_LIMIT, BedrockSetup
from contracts.bedrock.published import predeploys

CHAIN_ID: Final = 9017
BASE_FEE: Final = 10**9  # wei of OPEN per gas, in the first block
ELASTICITY, DENOMINATOR, DENOMINATOR_CANYON = 6, 50, 250
SEQUENCER_DRIFT_MAX, SEQUENCING_WINDOW, CHANNEL_TIMEOUT = 600, 3600, 300  # s, L1 blocks, L1 blocks

# The proxies and the place of each; WETH stands there itself.
PROXIED: Final = {
    "L2CrossDomainMessenger": 0x07,
    "GasPriceOracle": 0x0F,
    "L2StandardBridge": 0x10,
    "SequencerFeeVault": 0x11,
    "OptimismMintableERC20Factory": 0x12,
    "L1Block": 0x15,
    "L2ToL1MessagePasser": 0x16,
    "ProxyAdmin": 0x18,
    "BaseFeeVault": 0x19,
    "L1FeeVault": 0x1A,
    "OperatorFeeVault": 0x1B,
}
VAULTS: Final = ("SequencerFeeVault", "BaseFeeVault", "L1FeeVault", "OperatorFeeVault")
# They stand at the same address on every chain, made by a transaction there: nonce 1.
UNIVERSAL: Final = (
    "BeaconRoots",
    "BlockHashes",
    "Create2Deployer",
    "CreateX",
    "DeterministicDeploymentProxy",
    "Multicall3",
    "SafeSingletonFactory",
)
L1_BLOCK_FORKS: Final = (
    *("homestead", "eip150", "eip155", "eip158", "byzantium", "constantinople", "petersburg"),
    *("istanbul", "muirGlacier", "berlin", "london", "arrowGlacier", "grayGlacier"),
    "mergeNetsplit",
)
L1_TIME_FORKS: Final = ("shanghai", "cancun", "prague")
FORKS: Final = ("regolith", "canyon", "delta", "ecotone", "fjord", "granite", "holocene", "isthmus")

# Storage: EIP-1967 slots of the proxies, OpenZeppelin's flag of what is initialised.
IMPLEMENTATION: Final = 0x360894A13BA1A3210667C828492DB98DCA3E2076CC3735A920A3CA505D382BBC
ADMIN: Final = 0xB53127684A568B3173AE13B9F8A6016E243E63B6E8EE1178D6A717850B5D6103
INITIALIZED: Final = 0xF0C57E16840DF040F15088DC2F81FE391C3923BEC73E23A9662EFC9C229C6A00
MESSENGER_INITIALIZED, MESSENGER_SENDER, MESSENGER_OTHER = 0x00, 0xCC, 0xCF
NO_SENDER: Final = 0xDEAD
BRIDGE_INITIALIZED, BRIDGE_MESSENGER, BRIDGE_OTHER = 0x00, 0x03, 0x04
FACTORY_INITIALIZED, FACTORY_BRIDGE = 0x00, 0x01
VAULT_MINIMUM, VAULT_RECIPIENT = 0x01, 0x02
VAULT_TO_L2: Final = 1 << 160  # beside the recipient: pay on the L2, not through the portal
ORACLE_FORKS: Final = 0x00
ORACLE_ISTHMUS: Final = 0x01_01_01  # one byte per fork, the lowest first: Ecotone, Fjord, Isthmus

Storage = dict[int, int]
Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class L2Setup:
    """What the L2 begins with: its `owner` may upgrade predeploys, `fee_recipient` gets the fees
    once `fee_minimum` wei of OPEN are in a vault. `l1` are the addresses of `deploy.addresses`."""

    l1: Mapping[str, bytes]
    owner: bytes
    fee_recipient: bytes
    timestamp: int
    chain_id: int = CHAIN_ID
    gas_limit: int = GAS_LIMIT
    base_fee: int = BASE_FEE
    fee_minimum: int = 10**16


@dataclass(frozen=True, slots=True)
class Anchor:
    """A block, by hash and number: where the L2 begins, on the L1 and itself."""

    hash: bytes
    number: int


def predeploy(name: str) -> bytes:
    """The address under which a predeploy is called."""
    if name in PROXIED:
        return bytes.fromhex(f"42{PROXIED[name]:038x}")
    return predeploys()[name].address


def l2_genesis(setup: L2Setup) -> Json:
    """The genesis file of the L2, as op-geth and op-reth read it."""
    return {
        "config": _chain_config(setup.chain_id),
        "nonce": "0x0",
        "timestamp": hex(setup.timestamp),
        "extraData": f"0x00{DENOMINATOR_CANYON:08x}{ELASTICITY:08x}",  # Holocene's encoding
        "gasLimit": hex(setup.gas_limit),
        "difficulty": "0x0",
        "mixHash": _word(0),
        "coinbase": _hex(predeploy("SequencerFeeVault")),
        "alloc": dict(sorted(_alloc(setup).items())),
        "number": "0x0",
        "gasUsed": "0x0",
        "parentHash": _word(0),
        "baseFeePerGas": hex(setup.base_fee),
        "excessBlobGas": "0x0",
        "blobGasUsed": "0x0",
    }


def rollup_json(
    bedrock: BedrockSetup,
    l1: Mapping[str, bytes],
    *,
    l1_chain_id: int,
    l1_anchor: Anchor,
    l2_genesis_hash: bytes,
    l2_chain_id: int = CHAIN_ID,
    alt_da: Mapping[str, Any] | None = None,
) -> Json:
    """rollup.json for op-node. `l1_anchor` is the L1 block that the L2 begins after; its time is
    `bedrock.l2_genesis_time`. `alt_da` is of `keccak_da` or `generic_da`."""
    scalar = 1 << 248 | bedrock.blob_base_fee_scalar << 32 | bedrock.base_fee_scalar
    return {
        "genesis": {
            "l1": {"hash": _hex(l1_anchor.hash), "number": l1_anchor.number},
            "l2": {"hash": _hex(l2_genesis_hash), "number": 0},
            "l2_time": bedrock.l2_genesis_time,
            "system_config": {
                "batcherAddr": _hex(bedrock.batcher),
                "overhead": _word(0),
                "scalar": _word(scalar),
                "gasLimit": bedrock.gas_limit,
                "eip1559Params": "0x0000000000000000",
                "operatorFeeParams": _word(0),
            },
        },
        "block_time": bedrock.l2_block_time,
        "max_sequencer_drift": SEQUENCER_DRIFT_MAX,
        "seq_window_size": SEQUENCING_WINDOW,
        "channel_timeout": CHANNEL_TIMEOUT,
        "l1_chain_id": l1_chain_id,
        "l2_chain_id": l2_chain_id,
        **{f"{fork}_time": 0 for fork in FORKS},
        "batch_inbox_address": _hex(bedrock.batch_inbox),
        "deposit_contract_address": _hex(l1["OptimismPortal"]),
        "l1_system_config_address": _hex(l1["SystemConfig"]),
        "protocol_versions_address": _hex(bytes(20)),
        "chain_op_config": _fee_config(),
        **({} if alt_da is None else {"alt_da": dict(alt_da)}),
    }


def l1_chain_config(chain_id: int) -> Json:
    """The forks of an L1 of ours, for op-node's --rollup.l1-chain-config: Prague from block 0."""
    blobs = {
        "cancun": {"target": 3, "max": 6, "baseFeeUpdateFraction": 3_338_477},
        "prague": {"target": 6, "max": 9, "baseFeeUpdateFraction": 5_007_716},
    }
    return {
        "chainId": chain_id,
        **{f"{name}Block": 0 for name in L1_BLOCK_FORKS},
        **{f"{name}Time": 0 for name in L1_TIME_FORKS},
        "terminalTotalDifficulty": 0,
        "blobSchedule": blobs,
    }


def keccak_da(bedrock: BedrockSetup, l1: Mapping[str, bytes]) -> Json:
    """Batches under their keccak hash; who misses one challenges on the L1, and it is shown there
    or skipped."""
    return {
        "da_challenge_contract_address": _hex(l1["DataAvailabilityChallenge"]),
        "da_commitment_type": "KeccakCommitment",
        "da_challenge_window": bedrock.challenge_blocks,
        "da_resolve_window": bedrock.resolve_blocks,
    }


def generic_da(bedrock: BedrockSetup) -> Json:
    """Batches under a commitment that the DA server understands, such as EigenDA's certificate."""
    return {
        "da_challenge_contract_address": _hex(bytes(20)),
        "da_commitment_type": "GenericCommitment",
        "da_challenge_window": bedrock.challenge_blocks,
        "da_resolve_window": bedrock.resolve_blocks,
    }


def _chain_config(chain_id: int) -> Json:
    return {
        "chainId": chain_id,
        **{f"{name}Block": 0 for name in (*L1_BLOCK_FORKS, "bedrock")},
        **{f"{name}Time": 0 for name in (*L1_TIME_FORKS, *FORKS) if name != "delta"},
        "terminalTotalDifficulty": 0,
        "depositContractAddress": _hex(bytes(20)),
        "optimism": _fee_config(),
    }


def _fee_config() -> Json:
    return {
        "eip1559Elasticity": ELASTICITY,
        "eip1559Denominator": DENOMINATOR,
        "eip1559DenominatorCanyon": DENOMINATOR_CANYON,
    }


def _alloc(setup: L2Setup) -> dict[str, Json]:
    code = predeploys()
    admin = _number(predeploy("ProxyAdmin"))
    accounts = {_hex(code[name].address): _account(code[name].code, 1) for name in UNIVERSAL}
    accounts[_hex(code["WETH"].address)] = _account(code["WETH"].code)
    for name in PROXIED:
        target = code[name].address
        slots = {IMPLEMENTATION: _number(target), ADMIN: admin, **_storage(name, setup)}
        accounts[_hex(predeploy(name))] = _account(code["Proxy"].code, 0, slots)
        accounts[_hex(target)] = _account(code[name].code, 0, _locked(name))
    return accounts


def _storage(name: str, setup: L2Setup) -> Storage:
    """What a predeploy keeps from the beginning, beside its proxy's slots."""
    if name in VAULTS:
        return {
            VAULT_MINIMUM: setup.fee_minimum,
            VAULT_RECIPIENT: VAULT_TO_L2 | _number(setup.fee_recipient),
            INITIALIZED: 1,
        }
    match name:
        case "L2CrossDomainMessenger":
            return {
                MESSENGER_INITIALIZED: 1 << 160,
                MESSENGER_SENDER: NO_SENDER,
                MESSENGER_OTHER: _number(setup.l1["L1CrossDomainMessenger"]),
            }
        case "L2StandardBridge":
            return {
                BRIDGE_INITIALIZED: 1,
                BRIDGE_MESSENGER: _number(predeploy("L2CrossDomainMessenger")),
                BRIDGE_OTHER: _number(setup.l1["L1StandardBridge"]),
            }
        case "OptimismMintableERC20Factory":
            return {FACTORY_INITIALIZED: 1, FACTORY_BRIDGE: _number(predeploy("L2StandardBridge"))}
        case "GasPriceOracle":
            return {ORACLE_FORKS: ORACLE_ISTHMUS}
        case "ProxyAdmin":
            return {0: _number(setup.owner)}
    return {}


def _locked(name: str) -> Storage:
    """An implementation is marked as initialised, so that nobody takes it as his own."""
    if name in VAULTS:
        return {INITIALIZED: (1 << 64) - 1}
    match name:
        case "L2CrossDomainMessenger":
            return {MESSENGER_INITIALIZED: 1 << 160}
        case "L2StandardBridge":
            return {BRIDGE_INITIALIZED: 1}
        case "OptimismMintableERC20Factory":
            return {FACTORY_INITIALIZED: 1}
    return {}


def _account(code: bytes, nonce: int = 0, storage: Storage | None = None) -> Json:
    account: Json = {"balance": "0x0", "code": _hex(code)}
    if nonce:
        account["nonce"] = hex(nonce)
    if storage:
        account["storage"] = {_word(slot): _word(value) for slot, value in sorted(storage.items())}
    return account


def _number(address: bytes) -> int:
    return int.from_bytes(address, "big")


def _word(value: int) -> str:
    return f"0x{value:064x}"


def _hex(value: bytes) -> str:
    return "0x" + value.hex()

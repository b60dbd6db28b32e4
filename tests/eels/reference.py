"""Ethereum's executable specification (EELS, Prague) behind lines of JSON, for differential tests.

It runs in an environment of its own: `ethereum-execution` needs other versions than we do.

in, once    {"chain_id", "alloc": {address: {"balance", "nonce", "code", "storage"}}}
out         {"state_root"}
in, each    {"number", "time", "coinbase", "mix_hash", "gas_limit", "base_fee", "beacon_root",
             "hashes": ancestors, the oldest first, "transactions": candidates in order}
out         {"included": indices, "why": {index: error}, "gas": used by each, "state_root",
             "receipts_root", "transactions_root", "bloom"}
Integers are numbers, bytes are hexadecimal without 0x. A candidate that the specification does not
allow in the block is left out of it.
"""

import json
import sys
from dataclasses import dataclass
from typing import Any

from ethereum.exceptions import EthereumException
from ethereum.forks.prague import fork, vm
from ethereum.forks.prague.bloom import logs_bloom
from ethereum.forks.prague.fork_types import Account, Address
from ethereum.forks.prague.state import State, set_account, set_storage, state_root
from ethereum.forks.prague.transactions import decode_transaction, validate_transaction
from ethereum.forks.prague.trie import root
from ethereum_types.bytes import Bytes, Bytes32
from ethereum_types.numeric import U64, U256, Uint


@dataclass
class Chain:
    chain_id: int
    state: State


def begin(setup: dict[str, Any]) -> Chain:
    state = State()
    for address, fields in setup["alloc"].items():
        where = Address(bytes.fromhex(address))
        account = Account(
            nonce=Uint(fields.get("nonce", 0)),
            balance=U256(fields.get("balance", 0)),
            code=Bytes(bytes.fromhex(fields.get("code", ""))),
        )
        set_account(state, where, account)
        for slot, value in fields.get("storage", {}).items():
            key = Bytes32(int(slot).to_bytes(32, "big"))
            set_storage(state, where, key, U256(value))
    return Chain(setup["chain_id"], state)


def environment(chain: Chain, block: dict[str, Any]) -> vm.BlockEnvironment:
    return vm.BlockEnvironment(
        chain_id=U64(chain.chain_id),
        state=chain.state,
        block_gas_limit=Uint(block["gas_limit"]),
        block_hashes=[Bytes32(bytes.fromhex(each)) for each in block["hashes"]],
        coinbase=Address(bytes.fromhex(block["coinbase"])),
        number=Uint(block["number"]),
        base_fee_per_gas=Uint(block["base_fee"]),
        time=U256(block["time"]),
        prev_randao=Bytes32(bytes.fromhex(block["mix_hash"])),
        excess_blob_gas=U64(0),
        parent_beacon_block_root=Bytes32(bytes.fromhex(block["beacon_root"])),
    )


def execute(chain: Chain, block: dict[str, Any]) -> dict[str, Any]:
    around, output = environment(chain, block), vm.BlockOutput()
    system = fork.process_unchecked_system_transaction
    system(around, fork.BEACON_ROOTS_ADDRESS, around.parent_beacon_block_root)
    system(around, fork.HISTORY_STORAGE_ADDRESS, around.block_hashes[-1])
    included: list[int] = []
    gas: list[int] = []
    why: dict[int, str] = {}
    for at, raw in enumerate(block["transactions"]):
        data = bytes.fromhex(raw)
        # A legacy transaction is its RLP, which this decoder wants undone.
        encoded = (
            Bytes(data) if data[0] < 0xC0 else fork.rlp.decode_to(fork.LegacyTransaction, data)
        )
        transaction = decode_transaction(encoded)
        try:
            validate_transaction(transaction)
            fork.check_transaction(around, output, transaction)
        except EthereumException as error:
            why[at] = f"{type(error).__name__}: {error}"
            continue
        before = int(output.block_gas_used)
        fork.process_transaction(around, output, transaction, Uint(len(included)))
        included.append(at)
        gas.append(int(output.block_gas_used) - before)
    return {
        "included": included,
        "why": why,
        "gas": gas,
        "state_root": state_root(chain.state).hex(),
        "receipts_root": root(output.receipts_trie).hex(),
        "transactions_root": root(output.transactions_trie).hex(),
        "bloom": logs_bloom(output.block_logs).hex(),
    }


def main() -> None:
    chain = begin(json.loads(sys.stdin.readline()))
    print(json.dumps({"state_root": state_root(chain.state).hex()}), flush=True)
    for line in sys.stdin:
        print(json.dumps(execute(chain, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()

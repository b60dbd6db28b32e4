"""Unsafe L2 blocks between p2p and the driver: signs ours, checks theirs, fills the gaps."""

import random
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol

import trio
from eth_hash.auto import keccak

from p2p.blocks import Checked, Ruling
from p2p.network import Network, Rollup
from protocol.errors import Malformed, NodeError, Refused, Temporary
from rollup.codec import gossip_rules, hexadecimal
from rollup.codec.config import RollupConfig
from rollup.codec.gossip import encode_gossip, payload_bytes, signing_hash, version_at
from rollup.codec.gossip_rules import Judgement, SeenBlocks, judge
from rollup.codec.payload import PayloadEnvelope
from rollup.codec.refs import L2BlockRef
from rollup.codec.ssz import decode_payload
from rollup.ports import Call, Which

OUTBOX_MAX: Final = (
    64  # own blocks waiting to be spread; the newest is lost to gossip if it is full
)
PARENTS_MAX: Final = 1024  # signed blocks whose parent hash is remembered
GAP_MAX: Final = 128  # heights asked for at a time; a longer gap is for derivation
GAP_SECONDS: Final = 4.0  # between two looks for a gap
ATTEMPTS_MAX: Final = 3  # peers asked for one block
ROOT_BYTES: Final = 32
# SystemConfig.sol: UNSAFE_BLOCK_SIGNER_SLOT
UNSAFE_SIGNER_SLOT: Final = int.from_bytes(keccak(b"systemconfig.unsafeblocksigner"), "big")
RULINGS: Final = {
    gossip_rules.Ruling.ACCEPT: Ruling.ACCEPT,
    gossip_rules.Ruling.IGNORE: Ruling.IGNORE,
    gossip_rules.Ruling.STALE: Ruling.STALE,
    gossip_rules.Ruling.REJECT: Ruling.REJECT,
}


class Engine(Protocol):
    """The part of `rollup.ports.Engine` that serving blocks needs."""

    async def ref(self, which: Which) -> L2BlockRef | None: ...

    async def payload(self, which: Which) -> PayloadEnvelope: ...


class Driver(Protocol):
    async def add_unsafe(self, envelope: PayloadEnvelope) -> bool: ...

    @property
    def missing(self) -> tuple[int, int] | None: ...


class Signer(Protocol):
    def sign(self, digest: bytes) -> bytes: ...


class BlockExchange:
    """`rollup` goes to `open_network`; `publish` to the sequencer; `run` beside the driver.

    `unsafe_signer()` is the address that the SystemConfig names, None while it is unknown;
    `signer` holds that key on the sequencer and is None elsewhere.
    """

    def __init__(
        self,
        config: RollupConfig,
        engine: Engine,
        unsafe_signer: Callable[[], bytes | None],
        now: Callable[[], float],
        signer: Signer | None = None,
    ) -> None:
        self._config, self._engine, self._signer = config, engine, signer
        self._unsafe_signer, self._now = unsafe_signer, now
        self._seen = SeenBlocks()
        self._parents: OrderedDict[int, bytes] = OrderedDict()  # of signed blocks, by height
        self._own, self._to_spread = trio.open_memory_channel[PayloadEnvelope](OUTBOX_MAX)

    @property
    def rollup(self) -> Rollup:
        return Rollup(self._config.l2_chain_id, self.check, self.serve)

    def publish(self, envelope: PayloadEnvelope) -> None:
        """Spread a block of ours; does not wait."""
        try:
            self._own.send_nowait(envelope)
        except trio.WouldBlock:
            return  # peers fill the gap by number, or derive the block

    async def check(self, version: int, data: bytes) -> Checked:
        """What `p2p.blocks` asks about a message of topic `version` 0 to 3."""
        judged = await trio.to_thread.run_sync(self._judge, version + 1, data)
        envelope = judged.envelope
        if envelope is not None:
            judged = self._seen.admit(envelope.payload) or judged
        if judged.envelope is not None:
            self._remember(judged.envelope)
        return Checked(RULINGS[judged.ruling], judged.envelope, judged.reason)

    async def serve(self, number: int) -> tuple[int, bytes] | None:
        """What `p2p.payloads` asks: a block of our chain."""
        if number < self._config.genesis.l2.number:
            raise Refused("a block before the genesis")
        head = await self._engine.ref("latest")
        if head is None or number > head.number or number == self._config.genesis.l2.number:
            return None
        envelope = await self._engine.payload(number)
        return int(envelope.parent_beacon_block_root is not None), payload_bytes(envelope)

    async def run(self, network: Network, driver: Driver) -> None:
        """Until cancelled."""
        if network.blocks is None or network.payloads is None:
            raise ValueError("this network was opened without blocks")
        incoming = network.blocks.subscribe()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._spread, network)
            nursery.start_soon(self._fill_gaps, network, driver)
            async for envelope in incoming:
                await driver.add_unsafe(envelope)

    async def fetch(self, network: Network, number: int) -> PayloadEnvelope | None:
        """The block that some peer gives for a height, with the hash that it claims; None if no
        peer asked gives one. It is unsigned: whose chain it is of is for the caller to know."""
        peers = network.peers.connected()
        for peer in random.sample(peers, min(ATTEMPTS_MAX, len(peers))):
            assert network.payloads is not None
            try:
                version, payload = await network.payloads.request(peer, number)
                return self._decode(version, payload, number)
            except NodeError:
                network.standing.count("payload:not_got")
        return None

    async def fill(self, network: Network, first: int, last: int) -> list[PayloadEnvelope]:
        """The blocks `first` to `last`, each proven by the hash in its child up to a signed block
        at `last + 1`; `Temporary` if peers do not give them all."""
        expected = self._parents.get(last + 1)
        if expected is None or last - first >= GAP_MAX:
            raise Temporary(f"no signed block follows {last}, or the gap is too long")
        found: list[PayloadEnvelope] = []
        for number in range(last, first - 1, -1):
            envelope = await self.fetch(network, number)
            if envelope is None or envelope.payload.block_hash != expected:
                raise Temporary(f"no peer gives block {number} of the signed chain")
            found.append(envelope)
            expected = envelope.payload.parent_hash
        return found[::-1]

    def _judge(self, version: int, data: bytes) -> Judgement:
        return judge(
            data,
            version,
            chain_id=self._config.l2_chain_id,
            signer=self._unsafe_signer(),
            now=int(self._now()),
            forks=self._config,
        )

    def _remember(self, envelope: PayloadEnvelope) -> None:
        self._parents[envelope.payload.block_number] = envelope.payload.parent_hash
        if len(self._parents) > PARENTS_MAX:
            self._parents.popitem(last=False)

    def _decode(self, version: int, data: bytes, number: int) -> PayloadEnvelope:
        form = version_at(self._config, self._config.block_time_at(number))
        if version != int(form >= 3):
            raise Malformed(f"a payload of version {version}")
        root = data[:ROOT_BYTES] if form >= 3 else None
        envelope = PayloadEnvelope(decode_payload(data[len(root or b"") :], form), root)
        if envelope.payload.block_number != number or not envelope.hash_fits():
            raise Malformed("a block of another height, or of another hash")
        return envelope

    async def _spread(self, network: Network) -> None:
        assert network.blocks is not None
        async for envelope in self._to_spread:
            if self._signer is None:
                continue
            digest = signing_hash(self._config.l2_chain_id, payload_bytes(envelope))
            signature = self._signer.sign(digest)
            message = encode_gossip(envelope, signature[:64] + bytes([signature[64] - 27]))
            await network.blocks.publish(envelope.payload.version - 1, message)

    async def _fill_gaps(self, network: Network, driver: Driver) -> None:
        while True:
            await trio.sleep(GAP_SECONDS * random.uniform(0.5, 1.5))
            missing = driver.missing
            if missing is None:
                continue
            try:
                for envelope in await self.fill(network, *missing):
                    await driver.add_unsafe(envelope)
            except Temporary:
                network.standing.count("payload:gap_stays")


async def read_unsafe_signer(l1: Call, system_config: bytes) -> bytes | None:
    """The unsafe block signer that the SystemConfig contract names at L1's head; None for zero.

    Raises what `Call` does.
    """
    address, slot = "0x" + system_config.hex(), hex(UNSAFE_SIGNER_SLOT)
    found = hexadecimal.data(
        await l1.call("eth_getStorageAt", address, slot, "latest"), 32, "a storage slot"
    )
    return found[12:] if any(found) else None

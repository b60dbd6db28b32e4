"""Building and running one guarded libp2p host: TCP, Noise, Yamux, gossipsub.

Services start first and the port opens last: a stream that arrives before Pubsub runs would end
the host.
"""

import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

import trio
from libp2p import new_host
from libp2p.abc import IHost
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.x25519 import create_new_key_pair as new_x25519
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.network.config import ConnectionConfig
from libp2p.network.swarm import Swarm
from libp2p.pubsub.pb import rpc_pb2
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from p2p.block_topics import PREFIX, block_id
from p2p.guard import (
    LARGE_RPC_BYTES_MAX,
    RPC_BYTES_MAX,
    GuardedPubsub,
    GuardedYamux,
    guard_connections,
    guard_streams,
    prepare_libp2p,
    quiet,
)
from p2p.identity import key_pair
from p2p.router import ContentRouter
from p2p.standing import Standing
from protocol.envelope import content_id
from protocol.errors import Malformed, Temporary

CONNECTIONS_MAX = 200  # authenticated, in and out; 90 MB are for the process, not for them
CONNECTIONS_PER_PEER_MAX = 3
NEGOTIATION_SECONDS = 5.0
SUBSCRIPTIONS_PER_PEER_MAX = 100
SEEN_SECONDS = 1300  # longer than a message may live: epochs of 600 s, one to either side
MESH_DEGREE, MESH_LOW, MESH_HIGH = 6, 4, 12
GOSSIP_WINDOW, GOSSIP_HISTORY = 3, 5  # heartbeats: of what is told, of what is kept
HEARTBEAT_SECONDS = 1  # libp2p's 120 would leave a restarted node without a mesh for minutes
PRUNE_BACK_OFF_SECONDS = 5
READY_SECONDS = 10.0
CLOSE_SECONDS = 5.0
PROTOCOLS = [TProtocol("/meshsub/1.1.0")]


@dataclass(frozen=True, slots=True)
class Host:
    """A host that is running; `pubsub` and `network` are the guarded ones."""

    host: IHost
    network: Swarm
    pubsub: GuardedPubsub
    router: ContentRouter
    address: str  # multiaddress with the port that was really taken and the peer id

    @property
    def peer(self) -> bytes:
        return bytes(self.host.get_id().to_bytes())


@asynccontextmanager
async def run_host(
    secret: bytes,
    listen: str,
    topics: Sequence[str],
    standing: Standing,
    admitted: Callable[[bytes], bool],
    prepare: Callable[["Host"], Awaitable[None]],
) -> AsyncIterator[Host]:
    """A host listening at `listen` (multiaddress; port 0 takes a free one) inside the block.

    `prepare` runs when the services do and nobody can connect yet: topics, stream protocols.

    `Temporary` if the port is taken: libp2p sets SO_REUSEPORT, with which two daemons would share
    one port in silence.
    """
    prepare_libp2p()
    _silence()
    blocks = any(topic.startswith(PREFIX) for topic in topics)
    address = _probed(listen)
    host, network = _build(key_pair(secret), address)
    router = _router()
    pubsub = GuardedPubsub(
        host,
        router,
        standing,
        strict_signing=True,
        seen_ttl=SEEN_SECONDS,
        max_inbound_rpc_size=LARGE_RPC_BYTES_MAX if blocks else RPC_BYTES_MAX,
        max_subscriptions_per_peer=SUBSCRIPTIONS_PER_PEER_MAX,
        allowed_topics=frozenset(topics),
        msg_id_constructor=_message_id,
    )
    # Sequence numbers in whole seconds repeat after a restart: 3 of 100 messages arrive.
    pubsub.counter = time.time_ns()
    guard_connections(network, standing, admitted)
    guard_streams(network, standing, admitted)
    async with host.run(listen_addrs=[]):
        async with background_trio_service(pubsub), background_trio_service(router):
            with trio.fail_after(READY_SECONDS):
                await pubsub.wait_until_ready()
            try:
                full = f"{address}/p2p/{host.get_id()}"
                running = Host(host, network, pubsub, router, full)
                await prepare(running)
                if not await network.listen(address):
                    raise Temporary(f"cannot listen at {address}")
                yield running
            finally:
                with trio.CancelScope(deadline=trio.current_time() + CLOSE_SECONDS, shield=True):
                    await host.close()


def _silence() -> None:
    """Strangers decide how often libp2p logs an error, so it logs none; the guard counts them."""
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] == "libp2p":
            logging.getLogger(name).setLevel(logging.CRITICAL)


def _build(pair: KeyPair, address: Multiaddr) -> tuple[BasicHost, Swarm]:
    noise = NoiseTransport(pair, noise_privkey=new_x25519().private_key)
    connections = ConnectionConfig(
        max_connections=CONNECTIONS_MAX,
        high_watermark=CONNECTIONS_MAX,
        low_watermark=0,  # no dialling by libp2p: our own loop decides whom we know
        min_connections=0,
        max_connections_per_peer=CONNECTIONS_PER_PEER_MAX,
        inbound_upgrade_timeout=NEGOTIATION_SECONDS,
        outbound_upgrade_timeout=NEGOTIATION_SECONDS,
        inbound_stream_protocol_negotiation_timeout=NEGOTIATION_SECONDS,
        outbound_stream_protocol_negotiation_timeout=NEGOTIATION_SECONDS,
        dial_timeout=NEGOTIATION_SECONDS,
    )
    host = cast(
        BasicHost,
        new_host(
            key_pair=pair,
            listen_addrs=[address],
            sec_opt={NOISE: noise},  # the default would also accept plaintext
            muxer_opt={TProtocol(YAMUX): GuardedYamux},  # and no mplex
            connection_config=connections,
            enable_metrics=False,  # a full metrics channel that nobody reads stalls the node
            negotiate_timeout=int(NEGOTIATION_SECONDS),
            disable_identify_address_discovery=True,
        ),
    )
    network = cast(Swarm, host.get_network())
    # Its counters leak slots on failed handshakes; our own bounds are in the guard.
    network.set_resource_manager(None)
    quiet(host, network)
    return host, network


def _router() -> ContentRouter:
    return ContentRouter(
        GOSSIP_WINDOW,
        GOSSIP_HISTORY,
        _message_id,
        protocols=PROTOCOLS,
        degree=MESH_DEGREE,
        degree_low=MESH_LOW,
        degree_high=MESH_HIGH,
        heartbeat_interval=HEARTBEAT_SECONDS,
        heartbeat_initial_delay=0.2,
        prune_back_off=PRUNE_BACK_OFF_SECONDS,
        unsubscribe_back_off=PRUNE_BACK_OFF_SECONDS,
        adaptive_gossip_enabled=False,
        spam_protection_enabled=False,
        eclipse_protection_enabled=False,
        do_px=False,
        pending_messages_ttl=0.0,
    )


def _message_id(message: rpc_pb2.Message) -> bytes:
    """By content, so that one envelope is one message whoever forwards it."""
    topic = "\x00".join(message.topicIDs)
    identity = block_id if topic.startswith(PREFIX) else content_id
    return identity(topic, message.data)


def _probed(listen: str) -> Multiaddr:
    """The address with its port settled, after a bind without SO_REUSEPORT has succeeded."""
    try:
        address = Multiaddr(listen)
        family, name = _family(address), str(address.value_for_protocol("tcp"))
        host = address.value_for_protocol("ip6" if family == socket.AF_INET6 else "ip4")
    except Exception as error:  # multiaddr raises several unrelated classes
        raise Malformed(f"{listen!r} is no /ip4/.../tcp/... address") from error
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Connections of the last run in TIME_WAIT do not count as somebody else.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(name)))
        except OSError as error:
            raise Temporary(f"port {name} of {host} is taken: {error.strerror}") from error
        port = probe.getsockname()[1]
    return Multiaddr(listen.replace(f"/tcp/{name}", f"/tcp/{port}"))


def _family(address: Multiaddr) -> socket.AddressFamily:
    names = {protocol.name for protocol in address.protocols()}
    return socket.AF_INET6 if "ip6" in names else socket.AF_INET

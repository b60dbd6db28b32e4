"""What keeps py-libp2p 0.8.1 alive among hostile peers, by overriding it at a few named places.

Bare, any of these ends the process: garbage bytes as an RPC, a malformed key, an empty sender, an
exception in a validator, in a stream handler or in the muxer; and after 250 inbound connections
in a lifetime it takes no more. Each is kept as a test in `tests/net/test_p2p_killers.py`.
"""

import functools
import logging
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any, cast

import libp2p.pubsub.pubsub as pubsub_module
import libp2p.stream_muxer.muxer_multistream as muxer_multistream
import trio
from libp2p.abc import IHost, IMuxedConn, INetStream, IRawConnection
from libp2p.host.basic_host import BasicHost
from libp2p.io.abc import Reader, ReadWriteCloser
from libp2p.io.exceptions import IncompleteReadError
from libp2p.network.auto_connector import AutoConnector
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.exceptions import SwarmException
from libp2p.network.stream.exceptions import StreamError
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.mcache import MessageCache
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.pubsub.rpc_queue import RpcQueue
from libp2p.stream_muxer.yamux.yamux import Yamux
from libp2p.utils.varint import read_varint_prefixed_bytes_limited

from p2p.block_topics import BLOCK_BYTES_MAX, unsigned
from p2p.limits import Buckets, Rate
from p2p.router import LargeMessageQueue
from p2p.rpc_shape import is_one_large_message
from p2p.score import Offence
from p2p.standing import Standing
from protocol.envelope import ENVELOPE_BYTES_MAX
from protocol.errors import Malformed

LIBP2P_VERSION = "0.8.1"  # the private names below belong to exactly this version
HANDSHAKES_MAX = 128  # inbound connections not yet authenticated; the oldest makes room
HANDSHAKE_SECONDS = 5.0
STREAMS_PER_PEER_MAX = 64  # inbound streams of one peer at a time
MUX_FRAME_BYTES_MAX = 1024 * 1024  # honest muxers send 64 KiB
MUX_BUFFER_BYTES_MAX = 32 * 1024 * 1024  # received and unread, all streams of one connection
RPC_BYTES_MAX = 1024 * 1024  # one gossipsub RPC: several messages of at most 64 KiB
LARGE_RPC_BYTES_MAX = BLOCK_BYTES_MAX + 64 * 1024  # where blocks are gossiped
QUEUE_MAX = 1024  # outbound RPCs waiting for one peer (libp2p: 32, and a burst is lost)
RPC_RATE = Rate(per_second=400.0, burst=2048.0)  # gossiped messages from one forwarder
CLOSE_SECONDS = 2.0

_PRIVATE = {
    Swarm: (
        "_handle_inbound_connection",
        "upgrade_inbound_raw_conn",
        "upgrade_outbound_raw_conn",
        "add_conn",
        "set_stream_handler",
    ),
    BasicHost: ("_schedule_identify",),
    AutoConnector: ("maybe_connect",),
    Pubsub: (
        "push_msg",
        "stream_handler",
        "notify_subscriptions",
        "_handle_dead_peer",
        "_mark_msg_seen",
        "get_message_id",
    ),
    RpcQueue: ("split_rpc",),
    GossipSub: ("_check_equivocation",),
    MessageCache: ("put", "window"),
    Yamux: ("_read_data_body", "_cleanup_on_error", "start"),
}
log = logging.getLogger(__name__)


def prepare_libp2p() -> None:
    """Refuse to start on a libp2p whose inside this file does not know; set what has no setter."""
    found = version("libp2p")
    missing = [
        f"{kind.__name__}.{name}"
        for kind, names in _PRIVATE.items()
        for name in names
        if not hasattr(kind, name)
    ]
    if found != LIBP2P_VERSION or missing:
        lacks = f", lacks {', '.join(missing)}" if missing else ""
        raise RuntimeError(f"libp2p {LIBP2P_VERSION} is needed: found {found}{lacks}")
    # Three things are no parameters anywhere, so they are replaced in the modules that use them:
    # the queue's size (32 loses 284 messages of a burst of 300), the class of the muxer, and how
    # an RPC is read.
    vars(muxer_multistream)["Yamux"] = GuardedYamux
    vars(pubsub_module)["read_varint_prefixed_bytes_limited"] = _read_rpc
    vars(pubsub_module)["RpcQueue"] = functools.partial(
        LargeMessageQueue,
        max_size=QUEUE_MAX,
        packed_max=RPC_BYTES_MAX,
        message_max=LARGE_RPC_BYTES_MAX,
    )


async def _read_rpc(reader: Reader, max_length: int) -> bytes:
    """One RPC of a peer; what is large must be a single block. `Malformed` reaches the guard of
    the stream, which blames him."""
    rpc = await read_varint_prefixed_bytes_limited(reader, max_length)
    if len(rpc) > RPC_BYTES_MAX and not is_one_large_message(rpc):
        raise Malformed(f"an RPC of {len(rpc)} bytes that is not one message")
    return rpc


class GuardedPubsub(Pubsub):
    """Pubsub whose inbound side never raises and never outruns `RPC_RATE` per forwarder.

    The topics in `unsigned` are another protocol's: its messages carry no signature of libp2p and
    may be large, and whoever is connected may forward them; their validator says what is true.
    """

    def __init__(self, host: IHost, router: Any, standing: Standing, **options: Any) -> None:
        super().__init__(host, router, **options)
        self._standing = standing
        self._buckets = Buckets(RPC_RATE)
        self.may_publish: Callable[[bytes], bool] = lambda peer: True
        self.unsigned: dict[str, Callable[[bytes, bytes], Awaitable[bool]]] = {}

    async def push_msg(self, msg_forwarder: ID, msg: rpc_pb2.Message) -> None:
        if msg_forwarder == self.my_id:
            await super().push_msg(msg_forwarder, msg)
            return
        peer = msg_forwarder.to_bytes()
        if not self._buckets.take(peer, trio.current_time()):
            self._standing.blame(peer, Offence.FLOOD)
            return
        try:
            if not self.unsigned.keys().isdisjoint(msg.topicIDs):
                await self._push_unsigned(msg_forwarder, peer, msg)
            elif not self.may_publish(peer):
                self._standing.count("refused:publish")
            elif len(msg.data) > ENVELOPE_BYTES_MAX:
                self._standing.blame(peer, Offence.MALFORMED)
            else:
                await super().push_msg(msg_forwarder, msg)
        except Exception as error:  # malformed keys and ids, and whatever libp2p trips over
            self._blame(peer, Offence.MALFORMED, "message", error)

    async def publish_unsigned(self, topic: str, data: bytes) -> None:
        """Spread what we checked ourselves."""
        message = rpc_pb2.Message(data=data, topicIDs=[topic])
        self._mark_msg_seen(message)
        await self.router.publish(self.my_id, message)

    async def _push_unsigned(self, forwarder: ID, peer: bytes, message: rpc_pb2.Message) -> None:
        if not unsigned(message):
            self._standing.blame(peer, Offence.MALFORMED)
            return
        identity = self.get_message_id(message)
        if self.seen_messages.has(identity):
            return
        forward = await self.unsigned[message.topicIDs[0]](peer, message.data)
        if forward and not self.seen_messages.has(identity):
            self.seen_messages.add(identity)
            await self.router.publish(forwarder, message)

    async def stream_handler(self, stream: INetStream) -> None:
        peer = stream.muxed_conn.peer_id
        if not hasattr(self, "_manager"):  # a stream before the service runs would end the host
            await reset(stream)
            return
        try:
            await super().stream_handler(stream)
        except Exception as error:
            self._blame(peer.to_bytes(), Offence.MALFORMED, "rpc", error)
            await reset(stream)
            self._handle_dead_peer(peer)

    def notify_subscriptions(self, publish_message: rpc_pb2.Message) -> None:
        """Nothing: the validator has delivered it, and an unread channel would only fill up."""

    def _blame(self, peer: bytes, offence: Offence, where: str, error: Exception) -> None:
        self._standing.count(f"guard:{where}:{type(error).__name__}")
        self._standing.blame(peer, offence)
        log.debug("a bad %s of a peer: %r", where, error)


class GuardedYamux(Yamux):
    """Yamux that enforces what it only logs: frame size, and unread bytes per connection."""

    async def _read_data_body(self, length: int) -> bytes:
        buffered = sum(map(len, self.stream_buffers.values()))
        if length > MUX_FRAME_BYTES_MAX or buffered + length > MUX_BUFFER_BYTES_MAX:
            await self._give_up()
            raise SwarmException(f"a frame of {length} bytes over {buffered} unread ones")
        try:
            return bytes(await super()._read_data_body(length))
        except trio.TooSlowError:  # half a frame and silence: libp2p lets this end the swarm
            await self._give_up()
            raise SwarmException("a frame that never ends") from None

    async def start(self) -> None:
        try:
            await super().start()
        except Exception as error:
            log.debug("a connection ended: %r", error)
            await self._give_up()

    async def _give_up(self) -> None:
        self.event_shutting_down.set()
        with trio.move_on_after(CLOSE_SECONDS):
            await self._cleanup_on_error()


def quiet(host: BasicHost, network: Swarm) -> None:
    """libp2p neither dials nor asks anybody by itself.

    It would dial whatever addresses strangers wrote into its peer store, and ask each newcomer to
    identify himself in system tasks, where an exception ends the whole program. It would also
    dial whoever it was just told to drop, to open a stream to him.
    """

    async def connect_nobody() -> None:
        return

    def identify_nobody(peer_id: ID, *, reason: str) -> None:
        return

    new_stream = network.new_stream

    async def stream_to_the_connected(peer_id: ID) -> INetStream:
        if not network.get_connections(peer_id):
            raise SwarmException("not connected")
        return await new_stream(peer_id)

    network.new_stream = stream_to_the_connected  # type: ignore[method-assign]
    network.auto_connector.maybe_connect = connect_nobody  # type: ignore[method-assign]
    host._schedule_identify = identify_nobody  # type: ignore[method-assign]


def guard_streams(network: Swarm, standing: Standing, admitted: Callable[[bytes], bool]) -> None:
    """No inbound stream may raise into the swarm, outnumber its bound, or come from the banned."""
    inner = network.common_stream_handler
    open_streams: dict[bytes, int] = {}

    async def guarded(stream: INetStream) -> None:
        peer = stream.muxed_conn.peer_id.to_bytes()
        if not admitted(peer) or open_streams.get(peer, 0) >= STREAMS_PER_PEER_MAX:
            standing.count("refused:stream")
            await reset(stream)
            return
        open_streams[peer] = open_streams.get(peer, 0) + 1
        try:
            await inner(stream)
        except Exception as error:
            standing.count(f"guard:stream:{type(error).__name__}")
            if not isinstance(error, StreamError | IncompleteReadError):
                standing.blame(peer, Offence.BROKEN_STREAM)
            await reset(stream)
        finally:
            open_streams[peer] -= 1
            if not open_streams[peer]:
                del open_streams[peer]

    network.set_stream_handler(guarded)


def guard_connections(
    network: Swarm, standing: Standing, admitted: Callable[[bytes], bool]
) -> None:
    """Bound the handshakes, park each handler on its own connection, admit by peer id.

    libp2p holds one of its 250 inbound slots per connection ever accepted, for the lifetime of
    the process. Here a slot is held for the handshake alone, and when all are taken the oldest
    handshake goes: an honest one takes milliseconds, an idle socket waits for its end.
    """
    half_open: dict[int, trio.CancelScope] = {}
    add_conn, upgrade = network.add_conn, network.upgrade_outbound_raw_conn
    serial = iter(range(2**63))

    async def admitting(muxed: IMuxedConn, direction: str = "unknown") -> Any:
        peer = muxed.peer_id.to_bytes()
        if not admitted(peer):
            standing.count("refused:connection")
            await close(muxed)
            raise SwarmException("this peer is not admitted")
        connection = await add_conn(muxed, direction)
        if not admitted(peer):  # several strangers for the last place, all at once
            standing.count("refused:connection")
            await close(connection)
            raise SwarmException("this peer is one too many")
        return connection

    async def accept(read_write_closer: ReadWriteCloser, maddr: Any) -> None:
        if len(half_open) >= HANDSHAKES_MAX:
            standing.count("handshakes_evicted")
            half_open.pop(next(iter(half_open))).cancel()
        number = next(serial)
        scope = trio.CancelScope(deadline=trio.current_time() + HANDSHAKE_SECONDS)
        half_open[number] = scope
        muxed = None
        try:
            with scope:
                muxed = await network.upgrade_inbound_raw_conn(
                    RawConnection(read_write_closer, False), maddr
                )
        except Exception as error:
            standing.count(f"guard:inbound:{type(error).__name__}")
        finally:
            half_open.pop(number, None)
        for connection in network.get_connections():
            if muxed is not None and connection.muxed_conn is muxed:
                await cast(SwarmConn, connection).event_closed.wait()
        await close(read_write_closer)

    async def upgrading(raw_conn: IRawConnection, peer_id: ID, pre_scope: Any = None) -> SwarmConn:
        try:
            return await upgrade(raw_conn, peer_id, pre_scope)
        except BaseException:  # a dial that timed out in its handshake would keep its socket
            with trio.CancelScope(shield=True):
                await close(raw_conn)
            raise

    network.upgrade_outbound_raw_conn = upgrading  # type: ignore[method-assign]
    network.add_conn = admitting  # type: ignore[method-assign,assignment]
    network._handle_inbound_connection = accept  # type: ignore[method-assign]


async def reset(stream: INetStream) -> None:
    await _quietly(stream.reset)


async def close(what: Any) -> None:
    await _quietly(what.close)


async def _quietly(end: Callable[[], Awaitable[object]]) -> None:
    """End something that may be dead already; the peer cannot make us wait or fail."""
    with trio.move_on_after(CLOSE_SECONDS):
        try:
            await end()
        except Exception as error:
            log.debug("closing failed: %r", error)

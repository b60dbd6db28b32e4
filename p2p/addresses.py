"""Multiaddresses of peers, with names turned into numbers: py-libp2p dials numbers only."""

import socket

import trio
from libp2p.peer.peerinfo import PeerInfo, info_from_p2p_addr
from multiaddr import Multiaddr

from protocol.errors import Malformed, Temporary

FAMILIES = {"dns": socket.AF_UNSPEC, "dns4": socket.AF_INET, "dns6": socket.AF_INET6}
NUMBERS_MAX = 4  # of one name


def parse(address: str) -> PeerInfo:
    """`Malformed` unless it is a multiaddress that ends in /p2p/<peer id>."""
    try:
        return info_from_p2p_addr(Multiaddr(address))
    except Exception as error:  # multiaddr and libp2p raise many classes here
        raise Malformed(f"{address!r} is no /ip4/.../tcp/.../p2p/... address") from error


async def resolved(info: PeerInfo) -> PeerInfo:
    """The same peer at numbers; `Temporary` if a name cannot be looked up."""
    addresses: list[Multiaddr] = []
    for address in info.addrs:
        addresses.extend(await _numbers(address))
    return PeerInfo(info.peer_id, addresses)


async def _numbers(address: Multiaddr) -> list[Multiaddr]:
    _, kind, name, *rest = str(address).split("/")
    if kind not in FAMILIES:
        return [address]
    try:
        found = await trio.socket.getaddrinfo(
            name, None, family=FAMILIES[kind], type=socket.SOCK_STREAM
        )
    except OSError as error:
        raise Temporary(f"{name} has no address: {error.strerror}") from error
    forms = {socket.AF_INET: "ip4", socket.AF_INET6: "ip6"}
    texts = [f"/{forms[entry[0]]}/{entry[4][0]}/" + "/".join(rest) for entry in found]
    return [Multiaddr(text) for text in dict.fromkeys(texts)][:NUMBERS_MAX]

"""The libp2p identity of a node, derived from 32 secret bytes that its keystore holds."""

from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.keys import KeyPair
from libp2p.peer.id import ID

from protocol.errors import Malformed

SECRET_BYTES = 32
PEER_ID_BYTES_MAX = 64  # an Ed25519 id has 38


def key_pair(secret: bytes) -> KeyPair:
    """The Ed25519 pair whose seed is `secret`: the same secret is the same peer, always."""
    if len(secret) != SECRET_BYTES:
        raise Malformed(f"an identity secret has {SECRET_BYTES} bytes, not {len(secret)}")
    return create_new_key_pair(secret)


def peer_id(secret: bytes) -> bytes:
    """The id by which the chain and other peers know the node."""
    return bytes(ID.from_pubkey(key_pair(secret).public_key).to_bytes())


def to_text(peer: bytes) -> str:
    """The base58 form that multiaddresses use after `/p2p/`."""
    return str(ID(peer).to_base58())


def from_text(text: str) -> bytes:
    try:
        peer = bytes(ID.from_base58(text).to_bytes())
    except Exception as error:  # the base58 library raises ValueError and bare Exceptions
        raise Malformed(f"{text!r} is no peer id") from error
    if not 0 < len(peer) <= PEER_ID_BYTES_MAX:
        raise Malformed(f"{text!r} is no peer id")
    return peer

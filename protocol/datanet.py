"""Contributions, documents, shards: what a Datanet's curator commits to (PROTOCOL.md 2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from eth_hash.auto import keccak

from protocol.codec import Reader, require, require_uint, uint, word
from protocol.merkle import DOCUMENT, DOCUMENT_LEAF, TEXT, Commitment, byte_root
from protocol.signature import SIGNATURE_BYTES, Domain
from protocol.text import SEPARATOR

DOMAIN_NAME = "OpenLedger Datanet"  # the verifying contract is the DatanetRegistry
DOCUMENT_BYTES_MAX = 16 << 20
MEDIA_TYPES = ("text/plain", "text/markdown")


def terms_of(media_type: str, licence: str) -> bytes:
    return keccak(media_type.encode() + b"\0" + licence.encode())


def domain(chain_id: int, registry: bytes) -> Domain:
    return Domain(DOMAIN_NAME, chain_id, registry)


@dataclass(frozen=True, slots=True)
class Contribution:
    """A contributor's word that this text is his to give, under these terms."""

    TYPE: ClassVar[bytes] = (
        b"Contribution(uint32 datanet,bytes32 contentRoot,uint64 length,bytes32 terms,"
        b"uint32 contributor,uint64 nonce)"
    )

    datanet: int
    content_root: bytes  # text tree of the canonical text
    length: int  # bytes of the canonical text
    terms: bytes
    contributor: int
    nonce: int

    def digest(self, where: Domain) -> bytes:
        values = (self.datanet, self.content_root, self.length, self.terms)
        words = b"".join(word(value) for value in (*values, self.contributor, self.nonce))
        return where.digest(keccak(keccak(self.TYPE) + words))

    def encode(self) -> bytes:
        """datanet[4] ++ content root[32] ++ length[8] ++ terms[32] ++ contributor[4] ++ nonce[8]"""
        head = uint(self.datanet, 4) + self.content_root + uint(self.length, 8)
        return head + self.terms + uint(self.contributor, 4) + uint(self.nonce, 8)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        head = reader.uint(4), reader.take(32), reader.uint(8)
        return cls(*head, reader.take(32), reader.uint(4), reader.uint(8))


@dataclass(frozen=True, slots=True)
class Document:
    """One row of a shard's document table.

    document = start[8] ++ length[8] ++ contributor[4] ++ nonce[8] ++ content root[32] ++ terms[32]
               ++ signature[65]
    """

    start: int  # byte of the shard's text
    length: int
    contributor: int
    nonce: int
    content_root: bytes
    terms: bytes
    signature: bytes  # of the `Contribution`

    def __post_init__(self) -> None:
        require_uint(self.start, 64, "start")
        require_uint(self.length, 64, "length")
        require_uint(self.contributor, 32, "contributor")
        require_uint(self.nonce, 64, "nonce")
        require(len(self.content_root) == len(self.terms) == 32, "a hash has 32 bytes")
        require(len(self.signature) == SIGNATURE_BYTES, "a signature has 65 bytes")

    @property
    def end(self) -> int:
        return self.start + self.length

    def contribution(self, datanet: int) -> Contribution:
        return Contribution(
            datanet, self.content_root, self.length, self.terms, self.contributor, self.nonce
        )

    def encode(self) -> bytes:
        numbers = uint(self.start, 8) + uint(self.length, 8) + uint(self.contributor, 4)
        return numbers + uint(self.nonce, 8) + self.content_root + self.terms + self.signature

    @classmethod
    def decode(cls, data: bytes) -> Self:
        reader = Reader(data)
        numbers = (reader.uint(8), reader.uint(8), reader.uint(4), reader.uint(8))
        document = cls(*numbers, reader.take(32), reader.take(32), reader.take(SIGNATURE_BYTES))
        reader.end()
        return document


def decode_table(data: bytes) -> tuple[Document, ...]:
    """The rows of a document table; their order is not judged here."""
    require(len(data) % DOCUMENT_LEAF == 0, "a document table of broken rows")
    rows = range(0, len(data), DOCUMENT_LEAF)
    return tuple(Document.decode(data[at : at + DOCUMENT_LEAF]) for at in rows)


@dataclass(frozen=True, slots=True)
class Shard:
    """What the chain holds of one immutable shard."""

    text_root: bytes
    document_root: bytes
    text_size: int
    document_count: int

    @property
    def text(self) -> Commitment:
        return Commitment(TEXT, self.text_size, self.text_root)

    @property
    def table(self) -> Commitment:
        return Commitment(DOCUMENT, self.document_count * DOCUMENT_LEAF, self.document_root)


def shard_of(text: bytes, documents: Sequence[Document]) -> Shard:
    """The commitments of a shard."""
    table = b"".join(document.encode() for document in documents)
    roots = byte_root(TEXT, text), byte_root(DOCUMENT, table)
    return Shard(*roots, len(text), len(documents))


def datanet_root(shards: Sequence[Shard]) -> bytes:
    """One name for a version: the hash of its list of shard commitments."""
    rows = (
        shard.text_root
        + shard.document_root
        + uint(shard.text_size, 8)
        + uint(shard.document_count, 4)
        for shard in shards
    )
    return keccak(b"".join(rows))


def assemble(texts: Sequence[bytes]) -> tuple[bytes, list[int]]:
    """A shard's text from its documents' canonical texts, and where each of them starts."""
    text, starts = bytearray(), list[int]()
    for document in texts:
        require(bool(document), "an empty document")
        require(SEPARATOR not in document, "a document with byte FF")
        text.append(SEPARATOR)
        starts.append(len(text))
        text += document
    return bytes(text), starts

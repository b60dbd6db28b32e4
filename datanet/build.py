"""From accepted contributions to the bytes and commitments of one immutable shard."""

from collections.abc import Sequence
from dataclasses import dataclass

from datanet.screen import Accepted
from protocol.datanet import Document, Shard, assemble, shard_of


@dataclass(frozen=True, slots=True)
class BuiltShard:
    text: bytes
    documents: tuple[Document, ...]
    shard: Shard

    @property
    def table(self) -> bytes:
        return b"".join(document.encode() for document in self.documents)


def build_shard(accepted: Sequence[Accepted]) -> BuiltShard:
    """The shard with these documents, in this order."""
    text, starts = assemble([item.text for item in accepted])
    documents = tuple(
        Document(
            start,
            item.contribution.length,
            item.contribution.contributor,
            item.contribution.nonce,
            item.contribution.content_root,
            item.contribution.terms,
            item.signature,
        )
        for start, item in zip(starts, accepted, strict=True)
    )
    return BuiltShard(text, documents, shard_of(text, documents))

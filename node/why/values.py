"""What there is to say about one answer, as plain values: bytes, wei and numbers of rows."""

from dataclasses import dataclass

from protocol.receipt import Receipt


@dataclass(frozen=True, slots=True)
class Source:
    """A contributor who holds a span, where, and what he gets for it."""

    contributor: int
    shard: int
    document: int  # row of the shard's document table
    position: int  # byte of the shard's text
    amount: int  # wei
    title: str | None  # the document's first words, where its text is at hand


@dataclass(frozen=True, slots=True)
class SpanWhy:
    """Bytes [start, start + length) of the answer stand in the corpus."""

    claim: int  # number among the claims of the batch
    start: int
    length: int
    own_start: int  # what no better span takes: [own_start, own_end), empty when they are equal
    own_end: int
    quoted_at: int | None  # the byte of the prompt where the asker wrote it himself: then unpaid
    weight: int  # in units of 1e-8: by length, and reduced for common phrases
    common: bool  # as many contributors hold it as are listed at most
    amount: int  # wei, of all sources
    sources: tuple[Source, ...]

    @property
    def owned(self) -> int:
        return self.own_end - self.own_start


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes [start, end) of the answer, and which of its spans they are paid by."""

    start: int
    end: int
    span: int | None  # place in `Explanation.spans`
    text: str


@dataclass(frozen=True, slots=True)
class ExampleWhy:
    """An example of the adapter's training that made the answer likelier."""

    example: int  # row of the adapter's feature set
    contributor: int
    shard: int | None
    document: int | None
    text: str | None  # its first lines
    score: int
    sigmas: int  # hundredths of 1/sqrt(2048), the deviation of chance
    exact: bool  # whether the example's own norm was at hand for `sigmas`
    amount: int  # wei
    unpaid: str = ""  # why it got nothing, of those that are not listed


@dataclass(frozen=True, slots=True)
class Line:
    """The attribution threshold of influence: examples over it are paid, the others are not."""

    sigmas: int  # hundredths; a score must be over it
    score: int  # the least score over it, for an example of the nominal norm
    listed_max: int  # examples that one answer can pay
    examples: int | None  # of the feature set
    under: tuple[ExampleWhy, ...]  # the best ones that got nothing


@dataclass(frozen=True, slots=True)
class Split:
    """An answer's fee in wei.  The first five add up to it, the last three to `contributors`."""

    fee: int
    platform: int
    host: int
    owner: int  # of the adapter
    stakers: int
    contributors: int
    spans: int
    influences: int
    treasury: int  # what nothing earned


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an answer is on its way to being paid."""

    status: str  # unattributed, pending, final, slashed, voided
    reason: str  # one sentence
    batch: int | None = None
    answer: int | None = None  # place in the batch
    poster: bytes | None = None
    transaction: bytes | None = None  # of the posting
    deadline: int | None = None  # unix seconds: when a pending batch can become final
    as_of: int | None = None  # the time that the batch was composed for


@dataclass(frozen=True, slots=True)
class Explanation:
    """All of it."""

    digest: bytes
    receipt: Receipt
    adapter_name: str | None
    version: int  # of the parameters
    prompt: bytes
    output: bytes
    covered: int  # bytes under spans
    spans: tuple[SpanWhy, ...]
    pieces: tuple[Piece, ...]
    examples: tuple[ExampleWhy, ...]
    line: Line | None  # None where the adapter has no features
    split: Split
    missing: tuple[str, ...]  # what could not be said, a sentence each

"""The receipt of an answer: what the host signs, and what anybody who holds the text can check."""

from collections.abc import Sequence

from eth_hash.auto import keccak

from openlora.request import Finished, Request
from protocol.codec import require, uint
from protocol.errors import Malformed
from protocol.merkle import ANSWER, TEXT, Tree, byte_root
from protocol.receipt import Receipt

TOKENS = 8  # leaf kind: 32 sampled tokens and their fingerprint
LEAF_TOKENS = 32
NO_FINGERPRINT = 0


def leaves_root(tokens: Sequence[int], fingerprints: Sequence[bytes] = ()) -> bytes:
    """keccak tree over leaf = 00 | kind 8 | count u8 | token ids u32 each | fingerprint.

    `fingerprints` holds one entry per leaf, or nothing at all (fingerprint kind 0).
    """
    chunks = [tokens[at : at + LEAF_TOKENS] for at in range(0, len(tokens), LEAF_TOKENS)]
    prints = list(fingerprints) or [b""] * len(chunks)
    leaves = [
        keccak(bytes((0, TOKENS, len(chunk))) + b"".join(uint(t, 4) for t in chunk) + extra)
        for chunk, extra in zip(chunks, prints, strict=True)
    ]
    return Tree(ANSWER, leaves).root  # the hash of that tree; the leaves carry their own kind


def receipt_of(
    request: Request,
    finished: Finished,
    *,
    base: bytes,
    amount: int,
    cumulative: int,
    nonce: int,
    deadline: int,
    host: bytes,
    payer: bytes,
) -> Receipt:
    """The unsigned receipt: the answer is all of the text that was delivered."""
    assert request.adapter is not None, "an answer of the bare base has no receipt"
    prompt, output = request.prompt.encode(), finished.text.encode()
    return Receipt(
        request=request.hash,
        base=base,
        adapter=request.adapter,
        sampling=request.sampling.hash,
        prompt_root=byte_root(TEXT, prompt),
        prompt_size=len(prompt),
        output_root=byte_root(TEXT, output),
        output_size=len(output),
        leaves_root=leaves_root(finished.output_tokens),
        prompt_tokens=len(finished.prompt_tokens),
        output_tokens=len(finished.output_tokens),
        amount=amount,
        cumulative=cumulative,
        seed=request.seed,
        fingerprint=NO_FINGERPRINT,
        nonce=nonce,
        deadline=deadline,
        host=host,
        payer=payer,
    )


def check_receipt(receipt: Receipt, request: Request, text: str) -> None:
    """What a client checks without a model; `Malformed` names the field that does not fit."""
    prompt, output = request.prompt.encode(), text.encode()
    for name, want in (
        ("request", request.hash),
        ("adapter", request.adapter),
        ("sampling", request.sampling.hash),
        ("seed", request.seed),
        ("prompt_size", len(prompt)),
        ("prompt_root", byte_root(TEXT, prompt)),
        ("output_size", len(output)),
        ("output_root", byte_root(TEXT, output)),
    ):
        if getattr(receipt, name) != want:
            raise Malformed(f"the receipt's {name} is not that of this answer")
    limit = request.sampling.max_tokens
    require(receipt.output_tokens <= limit, "the receipt counts more tokens than were asked for")

"""A receipt fixes request, text and tokens; its hashes have one form."""

from dataclasses import replace

import pytest
from eth_hash.auto import keccak

from openlora.receipts import check_receipt, leaves_root, receipt_of
from openlora.request import MICRO, Finished, Request, Sampling
from protocol.errors import Malformed
from protocol.receipt import Receipt

SAMPLING = Sampling(max_tokens=40, temperature=700_000, top_p=MICRO, stops=("\n\n",))
REQUEST = Request(adapter=b"\3" * 32, prompt="Äh?", sampling=SAMPLING)
FINISHED = Finished("length", "naïve", (1, 2, 3), tuple(range(40)))


def made(request: Request = REQUEST, finished: Finished = FINISHED) -> Receipt:
    return receipt_of(
        request,
        finished,
        base=b"\4" * 32,
        amount=7,
        cumulative=9,
        nonce=1,
        deadline=2,
        host=b"\5" * 20,
        payer=b"\6" * 20,
    )


def test_the_canonical_forms() -> None:
    sampling = "00000028000aae60000f424001000000020a0a"
    assert SAMPLING.encode().hex() == sampling
    assert REQUEST.encode().hex() == "03" * 32 + "00" * 9 + sampling + "00000004c384683f"
    assert REQUEST.seed == int.from_bytes(keccak(keccak(REQUEST.encode()))[:8], "big")
    seeded = replace(REQUEST, chosen_seed=5)
    assert (seeded.seed, seeded.hash != REQUEST.hash) == (5, True)


def test_leaves_by_hand() -> None:
    """Forty tokens: a leaf of 32 and one of 8."""
    words = [number.to_bytes(4, "big") for number in range(40)]
    left = keccak(b"\x00\x08\x20" + b"".join(words[:32]))
    right = keccak(b"\x00\x08\x08" + b"".join(words[32:]))
    assert leaves_root(range(40)) == keccak(b"\x01" + left + right)
    assert leaves_root(()) == keccak(b"\x02")
    assert leaves_root(range(40), (b"a", b"b")) != leaves_root(range(40))


def test_a_client_finds_what_does_not_fit() -> None:
    receipt = made()
    check_receipt(receipt, REQUEST, "naïve")
    assert (receipt.output_size, receipt.prompt_size) == (6, 4)
    assert (receipt.prompt_tokens, receipt.output_tokens) == (3, 40)
    for request, text, field in (
        (REQUEST, "naive", "output_size"),
        (REQUEST, "naïvE", "output_root"),
        (replace(REQUEST, prompt="Ah?"), "naïve", "request"),
        (replace(REQUEST, sampling=replace(SAMPLING, max_tokens=41)), "naïve", "request"),
    ):
        with pytest.raises(Malformed, match=f"the receipt's {field} is not"):
            check_receipt(receipt, request, text)
    more = made(finished=replace(FINISHED, output_tokens=tuple(range(41))))
    with pytest.raises(Malformed, match="more tokens than were asked for"):
        check_receipt(more, REQUEST, "naïve")

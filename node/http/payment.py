"""How money looks in HTTP: vouchers in a request's header, quotes and receipts in an answer.

    X-OpenLedger-Voucher: {"payer","host","adapter","cumulative","signature"}, as JSON or its base64
    X-OpenLedger-Payer:   address, where only the state of an account is asked
    X-OpenLedger-Receipt: base64 of the packed receipt and its 65-byte signature

Bytes are 0x-hex; amounts and 64-bit numbers are decimal strings, since JSON numbers lose digits.
"""

import base64
import binascii
import json
from typing import Any

from pydantic_core import from_json

from openlora.pricing import Quote, SignedVoucher
from openlora.serving import Completed
from protocol.errors import Malformed
from protocol.receipt import Receipt, Voucher
from protocol.signature import Domain, recover

VOUCHER, PAYER, RECEIPT = "x-openledger-voucher", "x-openledger-payer", "x-openledger-receipt"
HEADER_CHARS_MAX = 2048
_FIELDS = frozenset({"payer", "host", "adapter", "cumulative", "signature"})


def read_voucher(header: str, domain: Domain) -> SignedVoucher:
    """The voucher in a header, with the address that signed it; `Malformed` says what is wrong."""
    value = _json_of(header)
    if value.keys() != _FIELDS:
        raise Malformed(f"a voucher has the fields {', '.join(sorted(_FIELDS))}")
    voucher = Voucher(
        payer=_bytes(value, "payer", 20),
        host=_bytes(value, "host", 20),
        adapter=_bytes(value, "adapter", 32),
        cumulative=_amount(value["cumulative"]),
    )
    signature = _bytes(value, "signature", 65)
    return SignedVoucher(voucher, signature, recover(voucher.digest(domain), signature))


def write_voucher(voucher: Voucher, signature: bytes) -> str:
    """The header of a signed voucher: what a client sends."""
    fields = {
        "payer": _hex(voucher.payer),
        "host": _hex(voucher.host),
        "adapter": _hex(voucher.adapter),
        "cumulative": str(voucher.cumulative),
        "signature": _hex(signature),
    }
    return base64.b64encode(json.dumps(fields).encode()).decode()


def read_payer(header: str | None) -> bytes | None:
    return None if header is None else _bytes({"payer": header}, "payer", 20)


def quote_json(quote: Quote, *, adapter: bytes, host: bytes, domain: Domain) -> dict[str, Any]:
    """Everything a client needs to sign the voucher that admits its request."""
    return {
        "adapter": _hex(adapter),
        "host": _hex(host),
        "chain_id": domain.chain_id,
        "escrow": _hex(domain.contract),
        "price": {
            "input_per_1000": str(quote.price.input),
            "output_per_1000": str(quote.price.output),
            "platform": str(quote.price.platform),
        },
        "input_tokens": quote.input_tokens,
        "output_tokens_max": quote.output_tokens_max,
        "amount_max": str(quote.amount_max),
        "cumulative": str(quote.cumulative),
        "required": str(quote.required),
    }


def receipt_json(completed: Completed) -> dict[str, Any]:
    fields = {name: _plain(name, getattr(completed.receipt, name)) for name in Receipt.__slots__}
    return {"receipt": fields, "signature": _hex(completed.signature)}


def receipt_header(completed: Completed) -> str:
    return base64.b64encode(completed.receipt.encode() + completed.signature).decode()


def read_receipt_header(header: str) -> tuple[Receipt, bytes]:
    """The receipt and its signature out of `receipt_header`: what a client reads."""
    data = _from_base64(header)
    return Receipt.decode(data[:-65]), data[-65:]


def _plain(name: str, value: bytes | int) -> Any:
    if isinstance(value, bytes):
        return _hex(value)
    return str(value) if name in ("amount", "cumulative", "seed", "nonce") else value


def _json_of(header: str) -> dict[str, Any]:
    if len(header) > HEADER_CHARS_MAX:
        raise Malformed(f"a voucher of {len(header)} characters, limit is {HEADER_CHARS_MAX}")
    text = header if header.lstrip().startswith("{") else _from_base64(header).decode("latin-1")
    try:
        value = from_json(text)  # bounds the depth, whatever Python's recursion limit
    except ValueError as error:
        raise Malformed(f"the voucher is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise Malformed("the voucher is not a JSON object")
    return value


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed(f"not base64: {error}") from None


def _bytes(value: dict[str, Any], name: str, size: int) -> bytes:
    text = value[name]
    try:
        data = bytes.fromhex(text.removeprefix("0x"))
    except (AttributeError, ValueError):
        raise Malformed(f"{name} is not hex") from None
    if len(data) != size:
        raise Malformed(f"{name} has {len(data)} bytes, not {size}")
    return data


def _amount(value: Any) -> int:
    text = value if isinstance(value, str) else str(value) if type(value) is int else ""
    if not (text.isascii() and text.isdigit() and len(text) <= 39):
        raise Malformed("cumulative is not a whole number of wei")
    return int(text)


def _hex(data: bytes) -> str:
    return "0x" + data.hex()

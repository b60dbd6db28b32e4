"""The blobs of L1 blocks, from the beacon API of consensus nodes, each checked against its hash.

https://ethereum.github.io/beacon-APIs: `getBlobs` of newer nodes, `getBlobSidecars` of older ones.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import httpx
import trio
from pydantic_core import from_json

from node.da import read_bounded
from protocol.errors import Malformed, Temporary
from rollup.codec import hexadecimal
from rollup.codec.blob import BLOB_BYTES, versioned_hash
from rollup.codec.refs import L1BlockRef
from rollup.ports import Compute

SECONDS_MAX: Final = 30.0  # of one request
BLOBS_MAX: Final = 128  # of one L1 block; in 2026 there may be 21
ANSWER_BYTES_MAX: Final = 40 << 20  # so many blobs in hex, and what comes along
REASON_CHARS_MAX: Final = 200
COMMITMENT_BYTES: Final = 48
SLOT_SECONDS_MAX: Final = 3600

GENESIS: Final = "/eth/v1/beacon/genesis"
SPEC: Final = "/eth/v1/config/spec"


class BeaconBlobs:
    """The port `rollup.ports.Blobs`. `urls` are asked in turn until all blobs of a block are
    found: a beacon node forgets them after 18 days, an archive does not. `compute` runs in another
    process: KZG holds the interpreter's lock, for 2 s at the first time."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        urls: Sequence[str],
        compute: Compute,
        *,
        seconds_max: float = SECONDS_MAX,
    ) -> None:
        self._client, self._compute, self._seconds_max = client, compute, seconds_max
        self._urls = [url.rstrip("/") for url in urls]
        self._slots: tuple[int, float] | None = None  # time of slot 0, seconds of each

    async def blobs(self, block: L1BlockRef, hashes: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """The blobs of 131,072 bytes in the order of `hashes`. Raises `Temporary`."""
        slot = await self._slot(block.time)
        found: dict[bytes, bytes] = {}
        reasons: list[str] = []
        for url in self._urls:
            for ask in (self._by_hash, self._sidecars):
                missing = [h for h in dict.fromkeys(hashes) if h not in found]
                if not missing:
                    break
                try:
                    candidates = await ask(url, slot, missing)
                    known = await self._compute(hashes_of, tuple(candidates))
                except (Temporary, Malformed) as error:
                    reasons.append(str(error))
                    continue
                found |= {h: b for h, b in zip(known, candidates, strict=True) if h in missing}
                if lacking := sum(h not in found for h in missing):
                    reasons.append(f"{url} lacks {lacking} of {len(missing)} blobs")
        if any(h not in found for h in hashes):
            raise Temporary(
                f"no blobs of L1 block {block.number} (slot {slot}): {'; '.join(reasons)}; "
                "beacon nodes keep them 18 days, rollup.blob_archive_url is for older ones"
            )
        return tuple(found[h] for h in hashes)

    async def _by_hash(self, url: str, slot: int, hashes: Sequence[bytes]) -> list[bytes]:
        query = "&".join(f"versioned_hashes={hexadecimal.from_bytes(h)}" for h in hashes)
        rows = await self._rows(f"{url}/eth/v1/beacon/blobs/{slot}?{query}")
        return [hexadecimal.data(row, BLOB_BYTES, "a blob") for row in rows]

    async def _sidecars(self, url: str, slot: int, hashes: Sequence[bytes]) -> list[bytes]:
        """Those that say to be wanted; the port does not know at which places of the block."""
        found = []
        for row in await self._rows(f"{url}/eth/v1/beacon/blob_sidecars/{slot}"):
            sidecar = hexadecimal.fields(row, "a blob sidecar")
            name = "kzg_commitment"
            commitment = hexadecimal.data(sidecar.get(name), COMMITMENT_BYTES, name)
            if versioned_hash(commitment) in hashes:
                found.append(hexadecimal.data(sidecar.get("blob"), BLOB_BYTES, "a blob"))
        return found

    async def _rows(self, url: str) -> list[Any]:
        rows = await self._get(url)
        if not isinstance(rows, list) or len(rows) > BLOBS_MAX:
            raise Malformed(f"{_site(url)} answers with no list of at most {BLOBS_MAX} blobs")
        return rows

    async def _slot(self, time: int) -> int:
        if self._slots is None:
            self._slots = await self._first(self._timetable)
        start, seconds = self._slots
        if time < start:
            raise Temporary("the beacon chain is younger than L1's block: is it that of another?")
        return int((time - start) // seconds)

    async def _first(self, ask: Callable[[str], Any]) -> Any:
        reasons = []
        for url in self._urls:
            try:
                return await ask(url)
            except (Temporary, Malformed) as error:
                reasons.append(str(error))
        raise Temporary("; ".join(reasons))

    async def _timetable(self, url: str) -> tuple[int, float]:
        genesis = hexadecimal.fields(await self._get(url + GENESIS), "beacon genesis")
        spec = hexadecimal.fields(await self._get(url + SPEC), "beacon spec")
        return _decimal(genesis, "genesis_time"), slot_seconds(spec)

    async def _get(self, url: str) -> Any:
        """What is under `data` in the answer."""
        try:
            with trio.fail_after(self._seconds_max):
                body = await self._read(url)
        except trio.TooSlowError:
            message = f"no answer from {_site(url)} within {self._seconds_max:g} s"
            raise Temporary(message) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise Temporary(f"cannot reach {_site(url)}: {reason}") from error
        try:
            answer = from_json(body)
        except ValueError:
            raise Malformed(f"{_site(url)} did not answer with JSON") from None
        return hexadecimal.fields(answer, "a beacon node's answer").get("data")

    async def _read(self, url: str) -> bytes:
        # not compressed: what comes is what is counted
        headers = {"accept": "application/json", "accept-encoding": "identity"}
        async with self._client.stream("GET", url, headers=headers, timeout=None) as response:
            body = await read_bounded(response, ANSWER_BYTES_MAX)
        if len(body) > ANSWER_BYTES_MAX:
            raise Malformed(f"{_site(url)} answers with over {ANSWER_BYTES_MAX} bytes")
        if response.status_code != 200:
            said = _said(body)
            raise Temporary(f"{_site(url)} answers HTTP {response.status_code}{said}")
        return body


def slot_seconds(spec: Mapping[str, Any]) -> float:
    """Seconds between two slots, by a beacon node's `config/spec`. Raises `Malformed`."""
    if "SLOT_DURATION_MS" in spec:
        seconds = _decimal(spec, "SLOT_DURATION_MS") / 1000
    else:
        seconds = _decimal(spec, "SECONDS_PER_SLOT")
    if not 0 < seconds <= SLOT_SECONDS_MAX:
        raise Malformed(f"a beacon node tells of slots of {seconds:g} s")
    return seconds


def hashes_of(blobs: tuple[bytes, ...]) -> tuple[bytes | None, ...]:
    """The versioned hash of each blob (EIP-4844), computed anew; None for what is no blob."""
    return tuple(_hashes(blobs))


def _hashes(blobs: tuple[bytes, ...]) -> Iterator[bytes | None]:
    if not blobs:
        return
    import ckzg  # not before it is needed: most chains have no blobs

    setup = _trusted_setup()
    for blob in blobs:
        try:
            yield versioned_hash(ckzg.blob_to_kzg_commitment(blob, setup))
        except (RuntimeError, ValueError):  # a field element that is none
            yield None


@cache
def _trusted_setup() -> Any:
    """What the KZG ceremony of Ethereum ended with. ckzg brings none; py-evm does."""
    import ckzg

    package = find_spec("eth")
    assert package is not None
    assert package.submodule_search_locations
    file = Path(package.submodule_search_locations[0]) / "_utils" / "kzg_trusted_setup.txt"
    return ckzg.load_trusted_setup(str(file), 0)


def _decimal(table: Mapping[str, Any], name: str) -> int:
    """The beacon API writes numbers as text."""
    value = table.get(name)
    if not isinstance(value, str) or not value.isascii() or not value.isdigit() or len(value) > 20:
        raise Malformed(f"a beacon node tells no number as {name}")
    return int(value)


def _site(url: str) -> str:
    """For messages: without the query, which is long, or may hold a key."""
    return url.partition("?")[0]


def _said(body: bytes) -> str:
    """The words of an error, where a beacon node gives any."""
    try:
        answer = from_json(body)
    except ValueError:
        return ""
    message = answer.get("message") if isinstance(answer, dict) else None
    return f": {message[:REASON_CHARS_MAX]}" if isinstance(message, str) else ""

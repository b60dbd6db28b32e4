"""What one node has to explain answers with: bodies, corpora, features, and answers heard of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from attribution.corpus import Corpus
from attribution.influence.store import FeatureSet
from attribution.openings import down_examples
from node.why.explain import Known
from node.why.library import Library
from node.why.runners_up import HeldFeatures
from node.why.shelf import Shelf
from protocol.errors import Malformed, Temporary
from protocol.ledger import AdapterRecord
from protocol.parameters import Parameters
from roles.answers import Answers
from roles.ports import Ports


class Corpora(Protocol):
    async def of_adapter(self, ports: Ports, adapter: AdapterRecord, as_of: int) -> Corpus: ...


class FeatureSets(Protocol):
    async def in_force(self, ports: Ports, adapter: bytes, as_of: int) -> FeatureSet | None: ...


@dataclass
class Held:
    shelf: Shelf
    corpora: Corpora
    features: FeatureSets
    answers: Answers = field(default_factory=Answers)  # empty in roles that do not listen
    postings: Mapping[int, bytes] = field(default_factory=dict)  # transactions, by batch

    async def known(self, ports: Ports, adapter: bytes, as_of: int, rules: Parameters) -> Known:
        """All that there is about an adapter as of a time; what cannot be had is named."""
        row = ports.chain.ledger.adapters.get(adapter)
        if row is None:
            return Known(missing=("the adapter is not registered on chain",))
        corpus, missing = await self._corpus(ports, row, as_of)
        features, more = await self._features(ports, row, as_of)
        held = None
        if features is not None:
            down = frozenset[int]() if corpus is None else down_examples(corpus, features)
            held = HeldFeatures(features, rules, down)
        hidden = self._hidden(ports, row)
        return Known(row.host_bps, row.name, corpus, held, hidden, (*missing, *more))

    async def library(self, ports: Ports, adapter: bytes, as_of: int) -> Library:
        row = ports.chain.ledger.adapters.get(adapter)
        if row is None:
            return Library()
        corpus, _ = await self._corpus(ports, row, as_of)
        return Library.of(corpus, self._hidden(ports, row))

    def _hidden(self, ports: Ports, row: AdapterRecord) -> Mapping[int, frozenset[int]]:
        ledger = ports.chain.ledger
        return ledger.down(row.datanet, ledger.time)

    async def _corpus(
        self, ports: Ports, row: AdapterRecord, as_of: int
    ) -> tuple[Corpus | None, tuple[str, ...]]:
        try:
            return await self.corpora.of_adapter(ports, row, as_of), ()
        except (Temporary, Malformed) as error:
            told = f"no titles and texts: the corpus of datanet {row.datanet}: {error}"
            return None, (told,)

    async def _features(
        self, ports: Ports, row: AdapterRecord, as_of: int
    ) -> tuple[FeatureSet | None, tuple[str, ...]]:
        try:
            return await self.features.in_force(ports, row.adapter, as_of), ()
        except (Temporary, Malformed) as error:
            told = f"nothing about examples under the line: the features of {row.name}: {error}"
            return None, (told,)

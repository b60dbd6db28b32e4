"""A prover that lies, for the demonstration: `python -m node.testnet.liar SETTINGS --seed N`.

It tells each kind of lie until it was convicted of it, and then posts nothing more.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from attribution.claims import Answered
from config.settings import load
from node import wiring
from node.chain import ContractChain
from node.logs import configure
from node.testnet.lies import Liar, NoOccasion, lies_left
from protocol.batch import Body
from protocol.parameters import Parameters
from roles.prover import Composed


@dataclass(frozen=True)
class EachLieOnce:
    """Looks at the chain for what was punished already, so that a restart changes nothing."""

    chain: ContractChain
    seed: int
    accomplice: int

    def __call__(
        self,
        answered: Sequence[Answered],
        digests: Sequence[bytes],
        old_totals: Mapping[int, int],
        parameters: Parameters,
    ) -> Composed:
        for kind in lies_left(self.chain.ledger):
            liar = Liar(kind, Random(f"{self.seed} {kind}"), self.accomplice)
            try:
                body: Body = liar(answered, digests, old_totals, parameters)
            except NoOccasion:
                continue
            return body
        return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--accomplice", type=int, required=True, help="whom the lies shall pay")
    arguments = parser.parse_args()
    settings = load(arguments.settings)
    configure(settings.log.level, settings.log.format)

    def compose(chain: ContractChain) -> EachLieOnce:
        return EachLieOnce(chain, arguments.seed, arguments.accomplice)

    wiring.run(settings, compose)
    return 0


if __name__ == "__main__":
    sys.exit(main())

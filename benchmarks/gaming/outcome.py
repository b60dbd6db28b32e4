"""What an attack earned, beside what honesty would have earned."""

from dataclasses import dataclass

from protocol.codec import require


@dataclass(frozen=True, slots=True)
class Outcome:
    """Wei (or another measure of income, the same on both sides) with an attack and without.

    `most` bounds the ratio. Where the attacker would honestly earn nothing, `honest` is what his
    victim earns undisturbed, and the note says so.
    """

    name: str
    attacked: float
    honest: float
    most: float
    note: str = ""

    @property
    def ratio(self) -> float:
        require(self.honest > 0, f"{self.name}: nothing to compare with")
        return self.attacked / self.honest

    @property
    def holds(self) -> bool:
        return self.ratio <= self.most

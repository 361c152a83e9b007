"""What chance decides, and a seed repeats."""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

Drawn = TypeVar("Drawn")


class Dice:
    """Draws as `Random` does, in a third of the time; 2⁻⁵⁰ more of one than of another may be."""

    def __init__(self, seed: int | str) -> None:
        self.random = Random(seed).random

    def choice(self, among: Sequence[Drawn]) -> Drawn:
        """Return one of them."""
        return among[int(self.random() * len(among))]

    def randint(self, least: int, most: int) -> int:
        """Return a number, both ends included."""
        return least + int(self.random() * (most - least + 1))

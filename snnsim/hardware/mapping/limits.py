"""What a chip can hold: each limit with its value, where it is from, and how sure that is. Any of them can be replaced."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

NONE = "none"  # TOML has no word for no value
GIVEN = "given by the user"


@dataclass(frozen=True)
class Limit:
    """value: a whole number of at least 1, or None where nothing is checked. source: who says so. trust: how sure that is."""

    value: int | None
    source: str
    trust: str

    def allows(self, needed: int) -> bool:
        return self.value is None or needed <= self.value


PAGES = "public pages, which disagree"
UNKNOWN = Limit(None, "no number that we could read: not checked unless you give one", "unknown")


@dataclass(frozen=True)
class LoihiLimits:
    """Limits of Loihi 2, as far as they are public: no primary document of the maker could be read for them, so what they
    allow is a report and never a promise.

    neurons_per_core; synapse_bytes_per_core; input_axons, output_axons: of a core, see `place`; fan_in: synapses of a neuron;
    fan_out: synapses from a neuron; delay_bits: of what is added to the one step that every spike takes; cores_per_chip; chips.

    A whole number stands for a `Limit` of that value. Errors: ValueError that names the limit.
    """

    neurons_per_core: Limit = Limit(8192, "pages on Loihi 2: 'up to about 8,000', and 8192", PAGES)
    synapse_bytes_per_core: Limit = Limit(128 * 1024, "128 KB of synapses a core of Loihi 1", "from memory, unverified, and of "
                                                                                             "Loihi 1")
    input_axons: Limit = Limit(4096, "users of Lava on convolutions: 4096 input axons a core", "one public thread")
    output_axons: Limit = Limit(4096, "users of Lava on convolutions: 4096 output axons a core", "one public thread")
    fan_in: Limit = UNKNOWN
    fan_out: Limit = UNKNOWN
    delay_bits: Limit = Limit(6, "Lava 0.10, DelayDense: delays of 0 .. 63", "read in the source")
    cores_per_chip: Limit = Limit(128, "a technology brief and pages: 128; several papers: 120 usable", PAGES)
    chips: Limit = Limit(1, "one chip, unless you have more", "a choice")

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            limit = value if isinstance(value, Limit) else Limit(value, GIVEN, GIVEN)
            if limit.value is not None and (isinstance(limit.value, bool) or not isinstance(limit.value, int)
                                            or limit.value < 1):
                raise ValueError(f"{f.name} must be a whole number of at least 1, or None, got {limit.value!r}")
            object.__setattr__(self, f.name, limit)

    @classmethod
    def loihi1(cls) -> Self:
        """Those of Loihi 1, where they are other ones."""
        source = Limit(1024, "Davies et al. (2018): 128 cores of 1024 neurons", "public")
        return cls(neurons_per_core=source, cores_per_chip=Limit(128, source.source, source.trust))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "limits") -> Self:
        """name = 1024, name = "none", or name = {value = 1024, source = "...", trust = "..."}. Those left out stay as they are.
        Errors: ValueError that names the entry."""
        names = [f.name for f in fields(cls)]
        made: dict[str, Any] = {}
        for name, value in values.items():
            if name not in names:
                raise ValueError(f"{where}: there is no limit {name!r}, only {', '.join(names)}")
            given = dict(value) if isinstance(value, Mapping) else {"value": value}
            if "value" not in given or set(given) - {"value", "source", "trust"}:
                raise ValueError(f"{where}: {name} must be a number or a table of value, source and trust, got {value!r}")
            number = None if given["value"] == NONE else given["value"]
            made[name] = Limit(number, str(given.get("source", GIVEN)), str(given.get("trust", GIVEN)))
        return cls(**made)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Limits of a TOML file, see `from_dict`. Errors: OSError; ValueError that names the file."""
        try:
            return cls.from_dict(tomllib.loads(Path(path).read_text(encoding="utf-8")), str(path))
        except ValueError as e:
            raise ValueError(str(e) if str(e).startswith(str(path)) else f"{path}: {e}") from None

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """What `from_dict` takes."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        return {n: {"value": NONE if x.value is None else x.value, "source": x.source, "trust": x.trust}
                for n, x in found.items()}

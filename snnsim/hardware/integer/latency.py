"""Hardware takes a step from every spike to its arrival: by how much each population then runs behind the network's time."""

from __future__ import annotations

from snnsim.network import Network


def latencies(network: Network) -> dict[str, int]:
    """Steps by which each population is late. A projection of delay d takes d + late[target] - late[source], at least 1.

    ValueError that names the populations of a loop whose delays are fewer than its projections.
    """
    late = {p.name: 0 for p in network.populations}
    moved: set[str] = set()
    for _ in range(len(late) + 1):
        moved = set()
        for q in network.projections:
            needed = late[q.source] + 1 - q.delay
            if needed > late[q.target]:
                late[q.target] = needed
                moved.add(q.target)
        if not moved:
            return late
    raise ValueError(f"the projections into {', '.join(sorted(moved))} lie in a loop with less delay than projections, and "
                     "hardware takes a step for each: give each of them a delay of at least 1")

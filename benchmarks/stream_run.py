"""One run of a network on an event file of any length, and the memory it took: python stream_run.py NET FILE CHUNK

Run by its path, so that the process holds what a run needs and nothing else.
"""

import json
import sys
from pathlib import Path

from snnsim.network_file import load_network
from snnsim.report import simulate_file


def peak_mb() -> float:
    """The most that this process has held. On Linux getrusage would count the process that started it, too."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    net, path, chunk = sys.argv[1:]
    before = peak_mb()
    network = load_network(net)
    done = simulate_file(network, path, chunk=int(chunk), progress=False)
    print(json.dumps({"neurons": sum(p.size for p in network.populations[1:]),
                      "spikes": sum(int(n[0]) for n in done.counts.values()),
                      "seconds": round(done.seconds, 3), "Mev_s": round(int(done.events[0]) / done.seconds / 1e6, 3),
                      "before_mb": round(before), "peak_mb": round(peak_mb())}))


if __name__ == "__main__":
    main()

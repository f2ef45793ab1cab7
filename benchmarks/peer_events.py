"""Run by a peer's interpreter: peer_events.py NAME FORMAT FILE. Decodes the file at each line. Imports nothing of snnsim."""

import sys
import time
from importlib.metadata import version

import numpy as np
from peer_shared import serve

NAME, FORMAT, FILE = sys.argv[1:]

if NAME == "expelliarmus":
    from expelliarmus import Wizard

    WIZARD = Wizard(encoding=FORMAT)
    COLUMNS = ("t", "x", "y", "p")

    def decode():
        return WIZARD.read(FILE)
elif NAME == "evt3":
    import evt3

    COLUMNS = ("timestamp", "x", "y", "polarity")

    def decode():
        events = evt3.decode_file(FILE)
        events.x  # noqa: B018  makes the array
        return events
elif NAME == "event_stream":
    import event_stream

    COLUMNS = ("t", "x", "y", "on")

    def decode():
        with event_stream.Decoder(FILE) as decoder:
            return np.concatenate([np.array(packet) for packet in decoder])
else:
    import faery

    COLUMNS = ("t", "x", "y", "on")

    def decode():
        return faery.events_stream_from_file(FILE).to_array()


def column(events, name):
    return np.asarray(events[name] if isinstance(events, np.ndarray) else getattr(events, name)).astype(np.int64)


def run():
    start = time.perf_counter()
    cpu = time.process_time()
    decode()
    return {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}


events = decode()
sums = [int(column(events, name).sum()) for name in COLUMNS]
count = len(column(events, COLUMNS[0]))
del events
serve({"version": version(NAME), "events": count, "sums": sums}, run)

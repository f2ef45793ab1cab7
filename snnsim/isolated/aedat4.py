"""Reads AEDAT 4 with the package `aedat`; runs in a process of its own, see `snnsim.isolated`."""

from __future__ import annotations

from typing import Any

import numpy as np

aedat: Any
try:
    import aedat
except ImportError:
    aedat = None

ROWS = 2**16  # in one answer


def opened(path: str) -> Any:
    if aedat is None:
        raise ImportError("AEDAT 4 needs the package aedat: pip install 'snnsim[data]'")
    return Packets(aedat.Decoder(path))


class Packets:
    """The event streams of a file, each a recording; the numbers are their ids."""

    def __init__(self, decoder: Any) -> None:
        self._decoder, self._over, self._fault = decoder, False, ""
        streams = decoder.id_to_stream()
        events = {i: s for i, s in sorted(streams.items()) if s.get("type") == "events"}
        if not events:
            kinds = ", ".join(sorted({str(s.get("type")) for s in streams.values()})) or "nothing"
            raise ValueError(f"this AEDAT 4 file holds no events, only {kinds}")
        self._ids, self._left = list(events), np.empty((4, 0), np.int64)
        self.numbers = None
        self.says = {"rows": "the event stream", "recordings": len(events), "block": ROWS,
                     "about": {"streams": ", ".join(f"{i} {s.get('type')}" for i, s in sorted(streams.items()))},
                     "sizes": [[int(s.get("width", 0)), int(s.get("height", 0))] for s in events.values()]}

    def answer(self, request: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        """The next rows: int64 [4, rows] of t, x, y, p, none at the end; or what is wrong behind them."""
        stream = self._ids[int(request["recording"])]
        while self._left.shape[1] < ROWS and not self._over:
            self._left = np.concatenate([self._left, *self._next(stream)], axis=1)
        found, self._left = self._left[:, :ROWS], self._left[:, ROWS:]
        if found.shape[1]:
            return {"taken": found.shape[1]}, np.ascontiguousarray(found)
        fault, self._fault = self._fault, ""
        return {"taken": 0} | ({"fault": fault} if fault else {}), None

    def _next(self, stream: int) -> list[Any]:
        """The events of the next packets, until they are enough."""
        parts, rows = [], 0
        while rows < ROWS:
            try:
                packet = next(self._decoder)
            except StopIteration:
                self._over = True
                break
            except BaseException as e:  # a panic of Rust is no Exception
                self._over, self._fault = True, f"a packet behind these cannot be read: {e or type(e).__name__}"
                break
            if packet["stream_id"] == stream and "events" in packet:
                found = packet["events"]
                names = ("t", "x", "y", "on" if "on" in found.dtype.names else "p")
                parts.append(np.stack([found[n].astype(np.int64) for n in names]))
                rows += len(found)
        return parts

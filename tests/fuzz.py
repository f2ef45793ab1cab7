"""Damaged event files: python -m tests.fuzz FORMAT --n 10000. Prints what became of them, or the seed that did harm.

A file is made plainly, then bits are flipped, bytes set, ranges cut, repeated and inserted, numbers of the header changed. What
comes of it must be valid events or a ValueError that names the file, the same for every size of block and chunk, in 5 s and,
beyond what the process had, in 512 MB.
"""

from __future__ import annotations

import argparse
import faulthandler
import io
import sys
import time
import warnings
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np

from snnsim.datasets import FORMATS, read, stream, validate
from tests.event_files import files

SECONDS, MEMORY = 5.0, 512 * 2**20
BYTES = (0, 1, 0x0A, 0x20, 0x23, 0x25, 0x3B, 0x7F, 0x80, 0xF0, 0xFE, 0xFF)
NUMBERS = (b"0", b"1", b"-1", b"65535", b"65536", b"4294967296", b"99999999999999999999", b"2.1", b"EVT2", b"x")


class Pipe(io.RawIOBase):
    """Gives 1,000 bytes at a time at most, and cannot seek."""

    def __init__(self, data):
        self.data = io.BytesIO(data)

    def readinto(self, buffer):
        part = self.data.read(min(len(buffer), 1000))
        buffer[:len(part)] = part
        return len(part)


def mutated(data, rng):
    data = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        kind = int(rng.integers(0, 9))
        a, b = sorted(int(v) for v in rng.integers(0, len(data) + 1, 2)) if data else (0, 0)
        if rng.random() < 0.3:  # in the header more often than its share
            a, b = a % 200, b % 200
            a, b = min(a, b), max(a, b)
        if kind < 3 and data:
            for place in rng.integers(0, len(data), int(rng.integers(1, 5))):
                data[place] ^= 1 << int(rng.integers(0, 8))
        elif kind == 3 and data:
            data[min(a, len(data) - 1)] = int(rng.choice(BYTES))
        elif kind == 4:
            del data[a:min(b, a + int(rng.integers(1, 64)))]
        elif kind == 5:
            del data[b:]
        elif kind == 6:
            data[a:a] = data[b:b + int(rng.integers(1, 300))]
        elif kind == 7:
            data[a:a] = rng.integers(0, 256, int(rng.integers(1, 40))).astype(np.uint8).tobytes()
        else:
            digits = [i for i in range(min(len(data), 300)) if 48 <= data[i] < 58]
            if digits:
                place = int(rng.choice(digits))
                data[place:place + 1] = bytes(rng.choice(NUMBERS))
    return bytes(data)


def damaged(data, form, rng):
    """Damaged bytes; of an archive mostly those of a member, whose checksum is right again."""
    if form != "npz" or rng.random() < 0.3:
        return mutated(data, rng)
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as held, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        names = held.namelist()
        spoilt = names[int(rng.integers(0, len(names)))]
        for name in names:
            made.writestr(name, mutated(held.read(name), rng) if name == spoilt else held.read(name))
    return file.getvalue()


def attempt(function, name):
    """What the function gives, or None where the file is refused, by its name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return function()
        except ValueError as e:
            if not str(e).startswith(name):
                raise
            return None


def decoded(data, form, rng):
    """The recording, or None where the file is refused; a pipe must give the same in chunks."""
    options = {"on_error": str(rng.choice(["raise", "raise", "skip", "truncate"])), "order": str(rng.choice(["raise", "drop"])),
               "format": form if rng.random() < 0.5 else None}
    chunk = int(rng.choice([64, 1000, 2**20]))
    recording = attempt(lambda: read(io.BytesIO(data), **options), "<BytesIO>")
    pieces = attempt(lambda: list(stream(Pipe(data), chunk, **options)), "<Pipe>")
    assert (recording is None) == (pieces is None)
    if recording is not None:
        assert np.array_equal(np.concatenate(pieces) if pieces else recording.events[:0], recording.events)
    if rng.random() < 0.3:
        late = attempt(lambda: read(io.BytesIO(data), **(options | {"order": "sort"})), "<BytesIO>")
        if late is not None:
            validate(late.events, late.sensor)
    return recording


def run(form, n, seed=0, last=None):
    """Counts of what was read and refused. AssertionError with the seed of a file that does harm. last: where it is kept."""
    originals = [data for name, (data, *_) in files(200, seed).items() if name.partition("-")[0] == form]
    counts = Counter(read=0, refused=0)
    decoded(originals[0], form, np.random.default_rng(seed))  # compiles, which takes its time
    for i in range(n):
        rng = np.random.default_rng((seed, i))
        data = damaged(originals[i % len(originals)], form, rng)
        if last is not None:
            last.write_bytes(data)
            faulthandler.dump_traceback_later(SECONDS, exit=True)
        start = time.perf_counter()
        try:
            recording = decoded(data, form, rng)
            if recording is not None:
                validate(recording.events, recording.sensor)
            counts["read" if recording is not None else "refused"] += 1
        except Exception as e:
            raise AssertionError(f"{form}, seed {seed}, number {i}: {type(e).__name__}: {e}") from e
        assert time.perf_counter() - start < SECONDS, f"{form}, seed {seed}, number {i} took more than {SECONDS} s"
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("format", choices=[*FORMATS, "all"])
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--last", type=Path, default=Path("fuzzed"), help="the file that is being read, should the process die")
    given = parser.parse_args()
    names = list(FORMATS) if given.format == "all" else [given.format]
    for name in names:
        run(name, 5, given.seed)  # compiles
    try:
        import resource

        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    except (ImportError, OSError):
        print("memory is not limited on this system", file=sys.stderr)
    for name in names:
        start = time.perf_counter()
        counts = run(name, given.n, given.seed, given.last)
        faulthandler.cancel_dump_traceback_later()
        took = time.perf_counter() - start
        print(f"{name}: {given.n} files, {counts['read']} read, {counts['refused']} refused, {took:.0f} s", flush=True)
    given.last.unlink(missing_ok=True)


if __name__ == "__main__":
    main()

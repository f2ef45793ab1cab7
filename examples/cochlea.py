"""Spoken digits as a cochlea hears them: what drives its hair cells, and when they fire, for two speakers.

Run it:   python examples/cochlea.py                        (made-up digits: glides of two formants)
          python examples/cochlea.py WHERE -o cochlea.png   (the Free Spoken Digit Dataset: an .npz or a folder of wav files)
Look at:  the two speakers. Loudness, pitch and microphone differ, the bands of a digit and their movement stay, and so do
          the spikes.
Sources:  see snnsim/datasets/cochlea.py and spoken.py.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from snnsim import plot
from snnsim.datasets import Cochlea, read_spoken, spoken_digits, synthetic_spoken, write_spoken
from snnsim.plot.style import BLUE, panels, styled

DIGITS = (0, 3, 6, 7)


def chosen(sounds):
    """Numbers of the recordings shown: the first take of some digits by the first and the last speaker."""
    first = np.array([sounds.take[(sounds.speaker == s) & (sounds.labels == d)].min() for s, d in zip(
        sounds.speaker, sounds.labels, strict=True)])
    return [[int(np.flatnonzero((sounds.speaker == s) & (sounds.labels == d) & (sounds.take == first))[0]) for d in DIGITS]
            for s in (0, len(sounds.speakers) - 1)]


@styled
def draw(sounds, cochlea, events):
    rows = chosen(sounds)
    figure, axes = panels(10.0, 7.5, 2 * len(rows), len(DIGITS), sharey=True)
    for r, row in enumerate(rows):
        for c, number in enumerate(row):
            sound = sounds.audio[sounds.offsets[number]:sounds.offsets[number + 1]]
            level, name, end = cochlea.levels(sound, sounds.rate), sounds.names()[number], len(sound) / sounds.rate * 1e3
            top, bottom = axes[2 * r, c], axes[2 * r + 1, c]
            top.imshow(level, origin="lower", aspect="auto", cmap="magma", vmin=0.0, vmax=4.0, interpolation="nearest",
                       extent=(0.0, level.shape[1] * cochlea.step, -0.5, cochlea.channels - 0.5))
            top.set(title=name, xlim=(0.0, end))
            e = events[number]
            bottom.plot(e["t"] / 1e3, e["x"], linestyle="none", marker="o", markersize=1.1, markeredgewidth=0.0, color=BLUE,
                        rasterized=True)
            bottom.set(title=f"{len(e):,} events", xlim=(0.0, end), xlabel="time (ms)")
        axes[2 * r, 0].set_ylabel("drive of the hair cells\nchannel")
        axes[2 * r + 1, 0].set_ylabel("their spikes\nchannel")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("where", nargs="?", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("cochlea.png"))
    options = parser.parse_args()
    cochlea = Cochlea()
    with tempfile.TemporaryDirectory() as folder:
        where = options.where
        if where is None:
            where = Path(folder) / "made-up.npz"
            write_spoken(where, synthetic_spoken(takes=6, speakers=4))
        sounds = read_spoken(where)
        train, test = spoken_digits(where, cochlea=cochlea)
    events = {sounds.names().index(r.source): r.events for part in (train, test) for r in part}
    plot.save(draw(sounds, cochlea, events), options.out)
    counts = [len(e) for e in events.values()]
    print(f"{len(counts):,} recordings by {', '.join(sounds.speakers)}: {np.median(counts):,.0f} events each (median)")
    print(f"{options.out} written")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as e:
        raise SystemExit(str(e)) from None

"""A recording as a picture and as an animation."""

import base64
import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from snnsim import plot
from snnsim.cli.data import view
from snnsim.datasets import Recording, Sensor, make_events, write_nmnist

E = make_events(np.arange(0, 3000, 10), np.arange(300) % 34, np.arange(300) // 9, np.arange(300) % 2)
ONE = Recording(E, 3, Sensor(34, 34))


def test_overview_shows_all_events_and_their_rate():
    figure = plot.overview(ONE)
    assert isinstance(figure, Figure) and "300 events" in figure.axes[0].get_title(loc="left")
    counts = [p.get_data().values.sum() for p in figure.axes[1].patches]
    assert sum(counts) * (3.0 - 0.009) / 100 == pytest.approx(300, rel=1e-3)  # events a ms, in 100 bins
    line = Recording(make_events([0, 5], [3, 90], [0, 0], [0, 0]), 0, Sensor(1, 100, 1))
    assert plot.overview(line).axes[0].get_ylabel() == "pixel"


def test_animations(tmp_path):
    plot.animate(ONE, tmp_path / "a.gif", frames=3)
    with Image.open(tmp_path / "a.gif") as picture:
        assert picture.n_frames == 3
        picture.seek(1)
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 5
    plot.animate(ONE, tmp_path / "a.html", frames=2)
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    frames = [base64.b64decode(f) for f in re.findall(r'"(iVBOR[^"]+)"', text)]
    assert len(frames) == 2 and all(f.startswith(b"\x89PNG") for f in frames) and frames[0] != frames[1]
    assert "http" not in text


def test_the_command(tmp_path, capsys):
    write_nmnist(tmp_path / "one.bin", E)
    view(tmp_path / "one.bin", tmp_path / "one.png")
    view(tmp_path / "one.bin", tmp_path / "one.gif", 2)
    assert (tmp_path / "one.png").stat().st_size > 5000 and (tmp_path / "one.gif").exists()
    assert "300 events" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"its name must end in .png, .svg, .pdf, .gif, .html"):
        view(tmp_path / "one.bin", tmp_path / "one.mp4")


def test_what_cannot_be_drawn_is_said(tmp_path):
    none = Recording(E[:0], 0, Sensor(34, 34))
    for draw in (lambda: plot.overview(none), lambda: plot.animate(none, tmp_path / "a.gif")):
        with pytest.raises(ValueError, match="the recording holds no event: there is nothing to draw"):
            draw()
    with pytest.raises(ValueError, match=r"its name must end in .gif or .html"):
        plot.animate(ONE, tmp_path / "a.png")
    with pytest.raises(ValueError, match="frames must be from 1 to 2000, got 0"):
        plot.animate(ONE, tmp_path / "a.gif", frames=0)
    assert not list(tmp_path.iterdir())

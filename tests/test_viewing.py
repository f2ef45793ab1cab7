"""A recording as a picture and as an animation."""

import base64
import re

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from snnsim import plot
from snnsim.cli.data import view
from snnsim.datasets import Recording, Sensor, make_events, write_nmnist
from snnsim.plot.events import coloured
from snnsim.plot.style import GREY, OFF, ON
from snnsim.plot.viewing import _latest

E = make_events(np.arange(0, 3000, 10), np.arange(300) % 34, np.arange(300) // 9, np.arange(300) % 2)
ONE = Recording(E, 3, Sensor(34, 34))


def test_overview_shows_all_events_and_their_rate():
    figure = plot.overview(ONE)
    assert isinstance(figure, Figure)
    titles = [a.get_title(loc="left") for a in figure.axes]
    assert titles == ["ON (brighter): 150 events", "OFF (darker): 150 events", "last event of each pixel, paler the older",
                      "300 events in 3.0 ms, 100,334 a second"]
    counts = [p.get_data().values.sum() for p in figure.axes[3].patches]
    assert sum(counts) * (3.0 - 0.009) / 100 == pytest.approx(300, rel=1e-3)  # events a ms, in 100 bins
    line = Recording(make_events([0, 5], [3, 90], [0, 0], [0, 0]), 0, Sensor(1, 100, 1))
    assert plot.overview(line).axes[0].get_ylabel() == "pixel"


def test_polarities_are_not_mixed():
    """Each pixel is ON's colour or OFF's, the stronger the more there are more of it; grey where they are as many."""
    counts = np.array([[[0, 3, 1, 2, 0]], [[4, 1, 2, 2, 0]]], float)  # OFF, ON
    picture = coloured(counts, 4.0)[0]
    assert [to_hex(c).upper() for c in picture[:3]] == [ON, OFF, ON]
    assert picture[0, 3] == 1.0 and picture[1, 3] == pytest.approx(0.675) and picture[2, 3] == pytest.approx(0.5125)
    assert to_hex(picture[3]) == GREY and picture[4, 3] == 0.0
    assert to_hex(coloured(counts[1:], 4.0)[0, 0]).upper() == OFF  # a sensor of one polarity


def test_the_last_event_of_a_pixel_gives_its_colour():
    events = make_events([0, 10, 10, 20], [1, 0, 1, 2], [0, 0, 0, 0], [1, 1, 0, 1])
    last = _latest(Recording(events, 0, Sensor(2, 4)))
    assert [to_hex(c).upper() for c in last[0, :3]] == [ON, OFF, ON]
    np.testing.assert_allclose(last[..., 3], [[0.325, 0.325, 1.0, 0.0], [0.0] * 4])


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

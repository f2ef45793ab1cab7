"""Event files of every format: equal to plain decoders, event for event, however they are cut into blocks and chunks."""

import dataclasses
import io
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from snnsim import datasets
from snnsim.datasets import Sensor, make_events, read, stream, validate, write
from snnsim.datasets.formats import driver, source
from tests import event_encoders as plain
from tests import fuzz
from tests.event_files import files

REAL = Path(__file__).parents[2] / "shared" / "data" / "recordings"
SETTINGS = settings(deadline=None, max_examples=30)  # the first example compiles the kernels
real = pytest.mark.skipif(not REAL.is_dir(), reason=f"there are no real recordings in {REAL}")


class Pipe(io.RawIOBase):
    """Cannot seek, gives few bytes at a time, and does not say how many there are."""

    def __init__(self, data):
        self.data = io.BytesIO(data)

    def read(self, size=-1):
        return self.data.read(min(size, 1000) if size >= 0 else 1000)

    readinto = None


SENSOR = Sensor(240, 320)
FILES = files()
ALONE = "hdf5", "aedat4"  # opened in another process, which takes longer
UNSAID = ("bin", "hdf5-dsec", "hdf5-matrix", "npy", "npy-matrix", "npz-seconds", "npz-table", "csv", "csv-named")


def made(seed=0, n=300, sensor=SENSOR, latest=100_000):
    rng = np.random.default_rng(seed)
    columns = rng.integers(0, sensor.width, n), rng.integers(0, sensor.height, n), rng.integers(0, 2, n)
    return make_events(np.sort(rng.integers(0, latest, n)), *columns)


@real
@pytest.mark.parametrize(("name", "form", "count", "plainly"), [
    ("evt2.raw", "evt2", 521_252, plain.evt2_events), ("dvs.es", "es", 473_225, plain.es_events),
    ("color.es", "es", 473_225, plain.es_events)])
def test_real_files_decode_to_the_last_event(name, form, count, plainly):
    recording = read(REAL / name)
    assert len(recording) == count
    assert recording.sensor == {"evt2.raw": Sensor(480, 640), "dvs.es": Sensor(240, 320),
                                "color.es": Sensor(240, 320, 1)}[name]
    assert (recording.label, recording.source) == (-1, str(REAL / name))
    validate(recording.events, recording.sensor)
    assert recording.events.tolist() == plainly((REAL / name).read_bytes())
    assert datasets.info(REAL / name).format == form
    chunks = list(stream(REAL / name, 100_000))
    assert {len(c) for c in chunks[:-1]} == {100_000}
    np.testing.assert_array_equal(np.concatenate(chunks), recording.events)
    np.testing.assert_array_equal(read(Pipe((REAL / name).read_bytes())).events, recording.events)


@pytest.fixture(params=[None, 2048])
def block(request, monkeypatch):
    """Blocks as they are, and small ones, which cut records, packets and vectors."""
    if request.param:
        monkeypatch.setattr(source, "BLOCK", request.param)
        monkeypatch.setattr(driver, "BLOCK", request.param)


@pytest.mark.parametrize("name", FILES)
def test_every_format_is_recognised_and_read_to_the_last_event(block, name):
    data, events, sensor = FILES[name]
    recording = read(io.BytesIO(data))
    assert recording.events.tolist() == events
    assert (recording.sensor, recording.label) == (sensor, 7 if name in ("hdf5-shd", "npz") else -1)
    assert not recording.events.flags.writeable
    np.testing.assert_array_equal(read(Pipe(data), format=name.partition("-")[0]).events, recording.events)
    for chunk in (1, 7, 33, len(events)):
        with stream(io.BytesIO(data), chunk) as chunks:
            found = list(chunks)
        assert {len(c) for c in found[:-1]} <= {chunk}
        np.testing.assert_array_equal(np.concatenate(found), recording.events)


@pytest.mark.parametrize("name", FILES)
def test_info_reads_one_block(name, tmp_path):
    data, events, sensor = FILES[name]
    path = tmp_path / "a"
    path.write_bytes(data)
    found = datasets.info(path)
    assert (found.format, found.bytes, found.first) == (name.partition("-")[0], len(data), events[0][0])
    assert found.sensor == (None if name in UNSAID else sensor)
    assert found.count == (len(events) if name.startswith(("dat", "hdf5", "np")) else None)
    copied = name.startswith(("hdf5", "aedat4", "npz"))  # to a file of its own: its size is known then
    assert datasets.info(Pipe(data)).bytes == (len(data) if copied else None)


@SETTINGS
@given(st.integers(0, 2**32), st.integers(1, 80), st.sampled_from([1, 10, 2**13, 2**24, 2**25]))
@pytest.mark.parametrize("form", ["evt2", "evt3", "es", "dat", "bin"])
def test_what_is_written_is_read_back(tmp_path_factory, form, seed, n, latest):
    path = tmp_path_factory.mktemp("formats") / "a"
    sensor = Sensor(200, 240)
    events = made(seed, n, sensor, latest)
    write(path, events, sensor, format=form)
    found = read(path, sensor=sensor if form == "bin" else None)
    np.testing.assert_array_equal(found.events, events)
    assert found.sensor == sensor
    assert getattr(plain, f"{form}_events")(path.read_bytes()) == events.tolist()
    assert [p.name for p in path.parent.iterdir()] == ["a"]


@SETTINGS
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40), st.integers(0, 1), st.integers(0, 1)), max_size=60))
def test_evt3_rows_become_vectors(tmp_path_factory, rows):
    """Dense rows: few times, rows and polarities, in any order of x."""
    path = tmp_path_factory.mktemp("formats") / "a"
    t, x, y, p = zip(*sorted(rows, key=lambda e: e[0]), strict=True) if rows else ((), (), (), ())
    events = make_events(t, x, y, p)
    write(path, events, Sensor(8, 41), format="evt3")
    data = path.read_bytes()
    assert read(path).events.tolist() == plain.evt3_events(data) == events.tolist()
    single = plain.raw("EVT3", "3.0", 41, 8, plain.evt3_words([(*e, 1) for e in events.tolist()]))
    assert len(data) - plain.body(data) <= len(single) - plain.body(single)


@pytest.mark.parametrize("form", ["evt2", "evt3"])
def test_long_silences_and_late_beginnings(tmp_path, form):
    events = make_events([2**37, 2**37 + 1, 2**39, 2**39 + 2**36], [0, 1, 2, 3], [0] * 4, [1] * 4)
    write(tmp_path / "a", events, SENSOR, format=form)
    assert read(tmp_path / "a").events.tolist() == events.tolist()


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_at_every_64th_byte(name):
    """Never more than the events before the cut; and an error where the cut goes through a record, a packet or the header."""
    data, events, _ = FILES[name]
    begin, told = plain.body(data), 0
    alone = name.startswith(ALONE)
    for cut in range(0, len(data), max(64, len(data) // 6) if alone else 64):
        try:
            found = read(io.BytesIO(data[:cut]), format=name.partition("-")[0]).events.tolist()
        except ValueError as e:
            told += str(e).startswith("<BytesIO>: ")
        else:
            if name.startswith("csv"):  # half a number is a number
                found = found[:-1]
            assert found == events[:len(found)]
            assert len(found) < len(events) or name == "es-atis"
            whole = {"evt2": 4, "evt21": 8, "evt3": 2, "dat": 8, "aedat2": 8, "bin": 5}.get(name.partition("-")[0])
            assert cut < begin or whole is None or (cut - begin) % whole == 0
    assert told > len(data) // 64 // 2 or alone or name.startswith(("evt3", "es", "dat", "aedat2", "evt21", "csv"))
    assert not alone or told > 4 or name == "aedat4"
    if name == "aedat3":
        assert told >= (len(data) - begin) // 64 - 3  # a cut anywhere but between packets is told


def spoilt(form):
    """A file of five events: the second is off the sensor, the fourth is early. And where these two begin."""
    sensor = Sensor(100, 100)
    good = [(1000, 1, 1, 1), (1001, 2, 2, 0), (1002, 3, 3, 1), (1003, 4, 4, 0), (1004, 5, 5, 1)]
    bad = [good[0], (1001, 120, 2, 0), good[2], (900, 4, 4, 0), good[4]]
    one = [(*e, 1) for e in bad]
    wide = {"evt2": lambda: plain.raw("EVT2", "2.0", 100, 100, plain.evt2_words(bad)),
            "evt21": lambda: plain.raw("EVT21", "2.1", 100, 100, plain.evt21_words(one), extra=";endianness=little"),
            "evt3": lambda: plain.raw("EVT3", "3.0", 100, 100, plain.evt3_words(one)),
            "dat": lambda: plain.dat_file(bad, 100, 100), "bin": lambda: b"".join(plain.bin_file([e]) for e in bad),
            "aedat3": lambda: plain.aedat3_file([(1, 0, one, 0)], "unknown")}
    return wide[form](), sensor, good


@pytest.mark.parametrize("form", ["evt2", "evt21", "evt3", "dat", "bin", "aedat3"])
def test_what_is_done_about_faults(form):
    data, sensor, good = spoilt(form)

    def found(**options):
        return read(io.BytesIO(data), format=form, sensor=sensor, **options).events.tolist()

    damaged = f"the file is damaged or not {re.escape(datasets.FORMATS[form].title)}"
    sentence = rf"^<BytesIO>: event 1 at byte \d+ has x = 120, y = 2: outside the 100 x 100 sensor; {damaged}$"
    with pytest.raises(ValueError, match=sentence):
        found()
    with pytest.warns(UserWarning, match=r"^<BytesIO>: read only as far as the first fault: event 1 at byte .* has x = 120"):
        assert found(on_error="truncate") == good[:1]
    with pytest.warns(UserWarning, match=r"^<BytesIO>: faulty records left out: 2; the first: event 1 at byte .* has x = 120"):
        assert found(on_error="skip") == [good[0], good[2], good[4]]
    with pytest.warns(UserWarning, match="faulty records left out: 1"):
        assert found(on_error="skip", order="drop") == [good[0], good[2], good[4]]
    with pytest.warns(UserWarning, match="faulty records left out: 1"):
        assert found(on_error="skip", order="sort") == [(900, 4, 4, 0), good[0], good[2], good[4]]
    sentence = (rf"^<BytesIO>: event 3 at byte \d+ has t = 900 after 1002: times run backwards; {damaged}; "
                "order='sort' sorts events, order='drop' leaves out the late ones$")
    with pytest.raises(ValueError, match=sentence):
        read(io.BytesIO(data), format=form, sensor=Sensor(100, 128))
    with stream(io.BytesIO(data), 2, format=form, sensor=sensor, on_error="skip") as chunks:
        assert np.concatenate(list(chunks)).tolist() == [good[0], good[2], good[4]]
    assert (chunks.faults, chunks.dropped, chunks.first_fault[:7]) == (2, 0, "event 1")


def test_the_byte_of_a_fault(block):
    """In whichever block it is: what stands at that byte is the faulty record."""
    events = [(i, 1, 1, 0) for i in range(3000)]
    events[2500] = (2500, 101, 77, 1)
    data = plain.dat_file(events, 100, 100)
    place = plain.body(data) + 8 * 2500
    with pytest.raises(ValueError, match=f"event 2500 at byte {place} has x = 101, y = 77"):
        read(io.BytesIO(data))


def test_low_words_of_evt3_that_step_back_are_no_wraps():
    words = [plain.word(8, 2861), plain.word(6, 811), plain.word(0, 3), plain.word(2, 7), plain.word(6, 800), plain.word(2, 8),
             plain.word(8, 2862), plain.word(6, 1), plain.word(2, 9)]
    data = plain.raw("EVT3", "3.0", 640, 480, words)
    first, second, third = (2861 << 12) + 811, (2861 << 12) + 800, (2862 << 12) + 1
    with pytest.raises(ValueError, match=f"event 1 at byte {len(data) - 8} has t = {second} after {first}"):
        read(io.BytesIO(data))
    assert read(io.BytesIO(data), order="sort").events["t"].tolist() == [second, first, third]
    assert read(io.BytesIO(data), order="drop").events["t"].tolist() == [first, third]


def words_of_evt3(seed, n, fault):
    """Words of every kind as a camera of 20 x 10 mixes them; `fault`: how often a place or a time is any number."""
    rng = np.random.default_rng(seed)
    late, made = np.cumsum(rng.integers(0, 3, n)), []
    for i, kind in enumerate(rng.choice([0, 2, 3, 4, 5, 6, 7, 8, 9], n, p=[.22, .4, .08, .1, .05, .12, .01, .01, .01])):
        value = {0: rng.integers(10), 2: rng.integers(20) | rng.integers(2) << 11, 3: rng.integers(8) | rng.integers(2) << 11,
                 6: late[i] % 4096, 8: 1}.get(kind, rng.integers(4096))
        if kind != 9 or fault:
            made.append((kind, int(rng.integers(4096) if rng.random() < fault else value)))
    return made


@SETTINGS
@example(11257222, 227, 0.2, "drop", 1)  # a vector that ends off the sensor
@given(st.integers(0, 2**32), st.integers(0, 300), st.sampled_from([0, 0.01, 0.2]), st.sampled_from(["sort", "drop"]),
       st.integers(1, 30))
def test_evt3_words_in_any_order_are_what_the_plain_decoder_says(seed, n, fault, order, chunk):
    """Off the sensor, backwards in time, before a time or a row, reserved, vectors in between: each word counts as it says."""
    words = words_of_evt3(seed, n, fault)
    data = plain.raw("EVT3", "3.0", 20, 10, [plain.word(*w) for w in [(8, 1), (0, 2), *words]])
    every = plain.evt3_events(data)
    right, kept, wrong = [e for e in every if e[1] < 20 and e[2] < 10], [], any(kind == 9 for kind, _ in words)
    for e in right:
        if not kept or e[0] >= kept[-1][0]:
            kept.append(e)
    wanted = sorted(right, key=lambda e: e[0]) if order == "sort" else kept
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert read(io.BytesIO(data), order=order, on_error="skip").events.tolist() == wanted
        if order == "drop":
            pieces = datasets.stream(io.BytesIO(data), chunk=chunk, order=order, on_error="skip")
            assert [e for piece in pieces for e in piece.tolist()] == wanted
    if not wrong and len(kept) == len(every):
        assert read(io.BytesIO(data)).events.tolist() == every
    else:
        good = next((i for i, (a, b) in enumerate(zip(every, kept, strict=False)) if a != b), len(kept))
        with pytest.raises(ValueError, match=r"event \d+ at byte" if wrong else f"event {good} at byte"):
            read(io.BytesIO(data))


def test_words_that_are_reserved_are_told():
    for kind in (1, 9, 11, 12, 13):
        data = plain.raw("EVT3", "3.0", 640, 480, [plain.word(8, 1), plain.word(kind, 5)])
        with pytest.raises(ValueError, match=f"event 0 at byte {len(data) - 2}: the word's type is reserved; the file"):
            read(io.BytesIO(data))
    header = plain.raw("EVT3", "3.0", 640, 480, [])
    before = [plain.word(2, 1), plain.word(6, 1), plain.word(8, 1), plain.word(2, 2), plain.word(4, 3), plain.word(0, 1)]
    assert len(read(io.BytesIO(header + b"".join(before)))) == 0  # neither a time nor a row
    assert read(io.BytesIO(header + b"".join(before) + plain.word(2, 9))).events.tolist() == [(4097, 9, 1, 0)]


@pytest.mark.parametrize(("data", "sentence"), [
    (b"", "is empty: a recording was expected"),
    (b"GIF89a", r"is no event file that is known here: it begins with b'GIF89a'; known are evt2, evt21, evt3, "),
    (b"Event Stream" + bytes([2, 0, 0, 0, 1, 0, 1, 0]), "holds generic data, not pixels: only dvs (1), atis (2) and color (4)"),
    (b"Event Stream" + bytes([2, 0, 0, 3, 1, 0, 1, 0]), "holds events of type 3, not pixels"),
    (b"Event Stream" + bytes([1, 0, 0, 1, 1, 0, 1, 0]), "only version 2 of Event Stream is read, this is 1.0.0"),
    (b"Event Stream" + bytes([2, 0, 0, 1, 0, 0, 1, 0]), "the header gives a sensor of 0 x 1 pixels"),
    (b"Event Stream" + bytes([2, 0, 0, 1]) + b"\xff" * 4, "a sensor has at most 2147483647 features, got 2 x 65535 x 65535"),
    (b"Event Stream" + bytes([2, 0, 0]), "the header of an Event Stream has 20 bytes, this file 15: it is cut off"),
    (b"% Data file containing CD events\n\x0e\x08", "DAT events of type 14 in 8 bytes are not read"),
    (b"% Data file containing CD events\n\x0c", "the file ends before the type of its events"),
    (b"#!AER-DAT3.1\r\n#Format: RAW\r\n", "the header does not end with #!END-HEADER"),
    (b"#!AER-DAT2.0\r\n" + b"\x40\x00\x10\x00" * 2, "the header names no chip: give its size, such as sensor="),
    (plain.aedat3_file([(1, 0, [(1, 2, 3, 1, 1)] * 4, 0)])[:-3], "the last record, at byte 113, has 5 of its 8 bytes"),
    (plain.aedat3_file([(1, 0, [(1, 2, 3, 1, 1)] * 4, 0)])[:-8], "the file ends at byte 113, 8 bytes before its last packet"),
    (plain.aedat3_file([(1, 2**31, [], 0)]), "event 0 at byte 61: the packet's header contradicts itself"),
    (plain.dat_file([(0, 0, 0, 2)]), "its polarity is neither 0 nor 1"),
])
def test_files_that_are_refused(data, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        read(io.BytesIO(data))
    assert str(caught.value).startswith("<BytesIO>")


def test_arguments_that_are_refused(tmp_path):
    data = FILES["es"][0]
    for options, sentence in (({"format": "evt4"}, "format must be one of 'evt2', "),
                              ({"on_error": "x"}, "on_error must be one of 'raise', 'skip', 'truncate', got 'x'"),
                              ({"order": "x"}, "order must be one of 'raise', 'sort', 'drop', got 'x'"),
                              ({"sensor": (1, 2)}, "sensor must be a datasets.Sensor")):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            read(io.BytesIO(data), **options)
    with pytest.raises(ValueError, match="order='sort' needs all events at once"):
        stream(io.BytesIO(data), order="sort")
    with pytest.raises(ValueError, match="chunk must be a whole number from 1"):
        stream(io.BytesIO(data), 0)
    with pytest.raises(ValueError, match="opened as text: open it with mode 'rb'"):
        read(io.StringIO("a"))
    with pytest.raises(ValueError, match="a path or a file opened for reading bytes was expected, got 3"):
        read(3)
    with pytest.raises(ValueError, match="is a folder, a file was expected"):
        read(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read(tmp_path / "none.es")
    events = made(n=3)
    with pytest.raises(ValueError, match=r"format must be given for .*a\.raw: one of evt2, evt3"):
        write(tmp_path / "a.raw", events, SENSOR)
    with pytest.raises(ValueError, match="format must be one of 'evt2', 'evt3', 'es', 'dat', 'bin', got 'aedat2'"):
        write(tmp_path / "a", events, SENSOR, format="aedat2")
    with pytest.raises(ValueError, match="holds sensors up to 2048 x 2048, got 3000 x 10"):
        write(tmp_path / "a", events[:0], Sensor(10, 3000), format="evt3")
    late = make_events([2**62], [0], [0], [0])
    for form in ("evt2", "evt3", "es", "bin"):
        with pytest.raises(ValueError, match="subtract the time of the first event"):
            write(tmp_path / "a", late, SENSOR if form != "bin" else Sensor(34, 34), format=form)
    with pytest.raises(ValueError, match=r"the first time must be below 2\^32"):
        write(tmp_path / "a", late, SENSOR, format="dat")
    assert list(tmp_path.iterdir()) == []


def test_the_name_gives_the_format_that_is_written(tmp_path):
    for name in ("a.es", "a.dat", "a.bin"):
        write(tmp_path / name, made(sensor=Sensor(34, 34)), Sensor(34, 34))
        assert datasets.info(tmp_path / name).format == name[2:]


def test_a_sensor_that_no_file_says():
    """The smallest of the common ones that holds all events; and the one that is given."""
    data, _, _ = FILES["bin"]
    assert read(io.BytesIO(data)).sensor == Sensor(34, 34)
    assert read(io.BytesIO(data + bytes([100, 5, 127, 255, 255]))).sensor == Sensor(128, 128)
    assert read(io.BytesIO(data), sensor=Sensor(60, 50)).sensor == Sensor(60, 50)
    assert stream(io.BytesIO(data)).sensor is None
    with pytest.raises(ValueError, match="the sensor knows only 0"):
        read(io.BytesIO(data), sensor=Sensor(34, 34, 1))
    for plugin, sensor in (("hal_plugin_gen31_fx3", Sensor(480, 640)), ("hal_plugin_imx636_evk4", Sensor(720, 1280))):
        assert datasets.info(io.BytesIO(f"% plugin_name {plugin}\n% evt 3.0\n".encode())).sensor == sensor
    assert datasets.info(io.BytesIO(b"% evt 3.0\n% geometry 99999x5\n")).sensor is None


def test_wraps_of_times_that_nothing_marks():
    """23 bits without marks, 32 bits signed or not, 24 and 34 bits (also by the files of each format)."""
    def forty(*times):
        return b"".join(plain.bin_file([(t % 2**23, 1, 1, 0)]) for t in times)

    times = [2**23 - 5, 2**23 + 3, 2**24 - 7, 2**24 + 5]
    assert read(io.BytesIO(forty(*times))).events["t"].tolist() == times
    times = [2**31 - 1, 2**31, 2**32 - 1, 2**32 + 5, 2**33 - 9, 2**33 + 4]
    for data in (plain.aedat2_file([(t, 1, 1, 1) for t in times]), plain.dat_file([(t, 1, 1, 1) for t in times])):
        assert read(io.BytesIO(data)).events["t"].tolist() == times


@pytest.mark.parametrize("form", list(datasets.FORMATS))
def test_mutated_files(form):
    n = 8 if form in ALONE else 150
    counts = fuzz.run(form, n, seed=1)
    assert sum(counts.values()) == n
    assert counts["read"] and counts["refused"]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["hdf5", "aedat4"])
def test_more_mutated_files(form):
    assert fuzz.run(form, 60, seed=2)["refused"]


def test_the_fuzzer_finds_faults(monkeypatch):
    """It is told of a decoder that lets events off the sensor pass, and of one that raises something else."""
    form = datasets.FORMATS["dat"]

    def careless(data, out, state):
        state[0] = state[1] = 2**16
        return form.decode(data, out, state)

    monkeypatch.setitem(datasets.FORMATS, "dat", dataclasses.replace(form, decode=careless))
    with pytest.raises(AssertionError, match="dat, seed"):
        fuzz.run("dat", 300)

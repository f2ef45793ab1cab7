"""What the three encodings of Prophesee's RAW files share: the header, and words that are written.

Source: Prophesee, RAW file format and EVT 2.0, 2.1, 3.0 formats (documentation of the Metavision SDK).
"""

from __future__ import annotations

from snnsim.datasets.events import Sensor
from snnsim.datasets.formats.text import number, percent_lines

LIMITS = Sensor(2048, 2048)  # 11 bits an address
VERSIONS = {"2.0": "evt2", "2.1": "evt21", "3.0": "evt3", "EVT2": "evt2", "EVT21": "evt21", "EVT3": "evt3"}
# The sensors that files name by their plugin or generation, where they do not give the size.
PLUGINS = {"gen31": Sensor(480, 640), "gen3": Sensor(480, 640), "gen41": Sensor(720, 1280), "gen4": Sensor(720, 1280),
           "imx636": Sensor(720, 1280), "imx646": Sensor(720, 1280), "genx320": Sensor(320, 320)}


def raw_header(head: bytes) -> tuple[int, dict[str, str], str | None, Sensor | None]:
    """Bytes of the header, its values, the name of the encoding, and the sensor."""
    size, found = percent_lines(head)
    name, *rest = found.get("format", "").split(";")
    options = dict(part.partition("=")[::2] for part in rest)
    encoding = VERSIONS.get(name) or VERSIONS.get(found.get("evt", ""))
    return size, found | {f"format {k}": v for k, v in options.items()}, encoding, _sensor(found, options)


def _sensor(found: dict[str, str], options: dict[str, str]) -> Sensor | None:
    width, _, height = found.get("geometry", "").partition("x")
    for w, h in ((options.get("width"), options.get("height")), (width, height)):
        columns, rows = number(w, LIMITS.width), number(h, LIMITS.height)
        if columns and rows:
            return Sensor(rows, columns)
    plugin = found.get("plugin_name", "").lower()
    named = [s for name, s in PLUGINS.items() if name in plugin]
    if named:
        return named[0]
    generation = (found.get("sensor_generation") or found.get("generation", ""))[:1]
    return {"3": PLUGINS["gen3"], "4": PLUGINS["gen4"]}.get(generation)


def is_raw(head: bytes, name: str) -> bool:
    return head[:1] == b"%" and raw_header(head)[2] == name


def header_text(encoding: str, version: str, sensor: Sensor) -> bytes:
    """The header of a RAW file that we write."""
    return (f"% evt {version}\n% format {encoding};height={sensor.height};width={sensor.width}\n"
            f"% geometry {sensor.width}x{sensor.height}\n% end\n").encode()

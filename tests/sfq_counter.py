"""A counter of library cells, as Verilog: what `counter_bit` and `counter` are counted by.

Toggles with both outputs count up where the carry gates are open, down where the borrow gates are; a pulse sets the gates of
each bit shortly before it toggles it. At a tick all gates are opened upwards and 2**bits - theta is added; the sign gate, which
follows the highest toggle, then says whether the counter fires; if not, its mirror has theta added again.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from snnsim.hardware.sfq.library import Library
from snnsim.hardware.sfq.structural import SCALE

PADS = 5  # jtl1 a bit, which make a bit of the lines of up and down as long as one of the carry


class Made:
    """Instances of a counter. at: ps from a pulse at `up` to where it arrives, by name."""

    def __init__(self, library: Library, bits: int, theta: int) -> None:
        self.library, self.bits, self.theta = library, bits, theta
        self.lines: list[str] = []
        self.cells: Counter[str] = Counter()
        self.wires = 0
        self.counted()

    def net(self) -> str:
        self.wires += 1
        return f"n{self.wires}"

    def add(self, cell: str, **pins: str) -> None:
        tied = ", ".join(f".{p}({n})" for p, n in pins.items())
        self.lines.append(f"  sfq_{cell} x{len(self.lines)} ({tied});")
        self.cells[cell] += 1

    def split(self, a: str) -> tuple[str, str]:
        q0, q1 = self.net(), self.net()
        self.add("splitter", a=a, q0=q0, q1=q1)
        return q0, q1

    def merged(self, a: str, b: str) -> str:
        q = self.net()
        self.add("merger", a=a, b=b, q=q)
        return q

    def through(self, a: str, cell: str, times: int = 1) -> str:
        for _ in range(times):
            q = self.net()
            self.add(cell, a=a, q=q)
            a = q
        return a

    def gate(self, s: str, r: str, c: str) -> str:
        q = self.net()
        self.add("ndro", s=s, r=r, c=c, q=q)
        return q

    def tree(self, a: str, value: int) -> dict[int, str]:
        """`a` at each bit of a number."""
        places = [k for k in range(self.bits) if value >> k & 1]
        found = {}
        for k in places[:-1]:
            found[k], a = self.split(a)
        return {**found, places[-1]: a} if places else {}

    def counted(self) -> None:
        up, line_up = self.split("up")
        down, line_down = self.split("down")
        line_up, line_down = self.merged(line_up, "tick"), self.through(line_down, "jtl")
        sign, mirror = self.split("read")
        restored = self.net()  # the mirror's answer
        taken = self.tree("add", 2**self.bits - self.theta)
        given = self.tree(restored, self.theta)
        pulse = self.through(self.merged(up, down), "jtl")
        for k in range(self.bits):
            more = [tree[k] for tree in (taken, given) if k in tree]
            more = [self.merged(*more)] if len(more) == 2 else more
            toggled = self.merged(pulse, more[0]) if more else self.through(pulse, "jtl1_slow")
            odd, even = self.net(), self.net()  # 0 to 1: a borrow; 1 to 0: a carry
            self.add("tff2", a=toggled, q0=odd, q1=even)
            (borrow, one), (carry, none) = self.split(odd), self.split(even)
            if k == self.bits - 1:
                self.add("ndro", s=one, r=none, c=mirror, q=restored)
                self.add("ndro", s=self.merged(carry, "clear"), r=borrow, c=sign, q="q")
                break
            self.add("ndro", s=one, r=none, c="unread", q=self.net())  # what clear, a hard reset and a leak would read
            gates = []
            for line in (line_up, line_down):
                set_, line = self.split(line)
                reset, line = self.split(line)
                gates.append((self.through(set_, "jtl"), reset, self.through(line, "jtl1", PADS)))
            (open_up, shut_down, line_up), (open_down, shut_up, line_down) = gates
            pulse = self.merged(self.gate(open_up, shut_up, carry), self.gate(open_down, shut_down, borrow))

    def ripple(self) -> float:
        """ps a bit that a carry takes."""
        d = self.library.delay
        return d("tff2") + d("splitter") + d("ndro") + 2 * d("merger")

    def text(self) -> str:
        wires = "".join(f"  wire n{k + 1};\n" for k in range(self.wires))
        return (SCALE + "module counted (input wire up, down, tick, add, read, clear, unread, output wire q);\n" + wires
                + "\n".join(self.lines) + "\nendmodule\n")


def bench(made: Made, ticks: list[list[int]], spacing: int, fired: list[int]) -> str:
    """ticks: of each +1 and -1 in their order, a spacing apart. fired: what is expected of each."""
    wait = round(made.bits * made.ripple()) + 60
    lines = ["    clear = 1; #1 clear = 0; #100;"]

    def pulse(pin: str, then: Any) -> None:
        lines.append(f"    {pin} = 1; #1 {pin} = 0; #{then - 1};")

    for pulses, spike in zip(ticks, fired, strict=True):
        for p in pulses:
            pulse("up" if p > 0 else "down", spacing)
        lines.append(f"    #{spacing};")  # `up` has a splitter before it meets `tick`
        for pin in ("tick", "add", "read"):
            pulse(pin, wait)
        lines.append(f"    expected = expected + {spike}; found = found + seen; if (seen == {spike}) equal = equal + {spike};")
        lines.append("    if (seen > 1) twice = twice + 1; seen = 0;")
    pins = ("up", "down", "tick", "add", "read", "clear", "unread")
    seen = ("expected", "found", "equal", "twice", "seen")
    return "\n".join([SCALE, "module counted_tb;", f"  reg {', '.join(pins)}; wire q; integer {', '.join(seen)};",
                      "  counted dut (" + ", ".join(f".{p}({p})" for p in (*pins, "q")) + ");",
                      "  always @(posedge q) seen = seen + 1;", "  initial begin",
                      "    " + " ".join(f"{p} = 0;" for p in (*pins, *seen)), "    #10;",
                      *lines, '    $display("RESULT counted 0 %0d %0d %0d", expected, found, equal);',
                      '    $display("RESULT counted twice %0d 0 0", twice);', "  end", "endmodule"])

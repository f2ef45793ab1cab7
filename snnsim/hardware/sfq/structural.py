"""Verilog of a netlist, cell by cell, and of the cells. A pulse is 0-1-0 of one ps; delays are those of the library.

A cell that sees two pulses closer than its separation passes one of them, as the circuit would, and prints VIOLATION.
"""

from __future__ import annotations

import numpy as np

from snnsim.hardware.sfq.library import Cell, Library
from snnsim.hardware.sfq.names import identifier
from snnsim.hardware.sfq.netlist import Instance, Netlist
from snnsim.hardware.sfq.verilog import HEAD, comment

SCALE = HEAD.replace("1ps/1ps", "1ps/10fs")
END = "`default_nettype wire\n"


def cells(library: Library) -> str:
    """The behavioural cells as text: one module sfq_<name> for each that has a behaviour, and for what ends a net."""
    used = [c for _, c in sorted(library.cells.items()) if c.behaviour != "none" or c.name in ("sink", "quiet")]
    return "\n".join([SCALE, *(MODELS[c.behaviour](c) for c in used), END])


def structural(netlist: Netlist, name: str = "net") -> str:
    """The design as text; pins as those of `verilog.table`. Modules of the cells: `cells`."""
    identifier(name)
    network, last = netlist.plan.network, len(netlist.fired) - 1
    pins = {n: f"in[{p[2:]}]" if p.startswith("in") else p for p, n in netlist.inputs.items()}
    lines = [SCALE + comment(network, netlist.plan.schedule, f"{len(netlist.instances)} cells"),
             f"module {name} (input wire clk, input wire clear, input wire [{network.inputs - 1}:0] in, output wire "
             f"[{network.layers[-1].size - 1}:0] out);"]
    lines += [f"  wire {n};" for n in sorted(netlist.nets - set(pins), key=lambda n: (len(n), n))]
    lines += [_instance(netlist, x, pins) for x in netlist.instances]
    for stage, nets in enumerate(netlist.fired):
        lines += [f"  wire [{len(nets) - 1}:0] fired{stage}; // watched by testbenches, no load"]
        lines += [f"  assign fired{stage}[{j}] = {n};" for j, n in enumerate(nets)]
    return "\n".join([*lines, f"  assign out = fired{last};", "endmodule", END])


def _instance(netlist: Netlist, x: Instance, pins: dict[str, str]) -> str:
    tied = ", ".join(f".{p}({pins.get(n, n)})" for p, n in x.pins.items())
    given = ""
    if x.neuron is not None:
        stage, j = x.neuron
        q = netlist.plan.layers[stage].layer
        leak = "" if q.leak is None else f", .LEAK({q.leak})"
        given = f" #(.THETA({q.threshold[j]}), .TOP({2 ** (q.bits - 1) - 1}), .HARD({int(q.reset == 'hard')}){leak})"
    return f"  sfq_{x.cell}{given} {x.name} ({tied});"


def _head(cell: Cell, parameters: str = "") -> str:
    pins = [f"input wire {p}" for p in cell.inputs] + [f"output reg {p}" for p in cell.outputs]
    return f"module sfq_{cell.name}{parameters} ({', '.join(pins)});\n"


def _last(*names: str) -> str:
    """When a pulse came last. Long ago at first."""
    return f"  real {', '.join(f'last_{n}' for n in names)};\n  initial begin " + " ".join(
        f"last_{n} = -1.0e9;" for n in names) + " end\n"


def _outs(cell: Cell) -> str:
    return "  initial begin " + " ".join(f"{q} = 1'b0;" for q in cell.outputs) + " end\n"


def _close(cell: Cell, name: str, then: str) -> str:
    """`then`, unless the last pulse on this input was too close."""
    limit = cell.separation.get(name, 0.0)
    return (f"  always @(posedge {name}) begin\n    if ($realtime - last_{name} < {limit:.2f})\n"
            f'      $display("VIOLATION %m: pulses on {name} too close at %0t ps", $time);\n    else {then}\n'
            f"    last_{name} = $realtime;\n  end\n")


def _pulse(cell: Cell, q: str, delay: float) -> str:
    """A pulse that is under way takes nothing from the next: assignments are queued."""
    return f"begin {q} <= #({delay:.2f}) 1'b1; {q} <= #({delay + 1:.2f}) 1'b0; end"


def _through(cell: Cell) -> str:
    sent = " ".join(_pulse(cell, q, cell.delay[f"a->{q}"]) for q in cell.outputs)
    return _head(cell) + _last("a") + _outs(cell) + _close(cell, "a", f"begin {sent} end") + "endmodule\n"


def _merger(cell: Cell) -> str:
    """Of two pulses that are too close, one leaves."""
    body = ""
    for one, other in (("a", "b"), ("b", "a")):
        limit = cell.separation.get(f"{other},{one}", 0.0)
        body += f"""\
    if ({one}) begin
      if ($realtime - last_{one} < {cell.separation.get(one, 0.0):.2f} || $realtime - last_{other} < {limit:.2f})
        $display("VIOLATION %m: pulses on {one} and {other} too close at %0t ps", $time);
      else {_pulse(cell, "q", cell.delay[f"{one}->q"])}
      last_{one} = $realtime;
    end
"""
    return (_head(cell) + _last("a", "b") + _outs(cell) + "  always @(posedge a or posedge b) begin\n" + body
            + "  end\nendmodule\n")


def _tff(cell: Cell) -> str:
    return (_head(cell) + "  reg state;\n" + _last("a") + "  initial begin state = 1'b0; q = 1'b0; end\n"
            + _close(cell, "a", f"begin if (state) {_pulse(cell, 'q', cell.delay['a->q'])} state = ~state; end")
            + "endmodule\n")


def _tff2(cell: Cell) -> str:
    """Odd pulses leave by q0, even ones by q1."""
    first, then = (_pulse(cell, q, cell.delay[f"a->{q}"]) for q in cell.outputs)
    return (_head(cell) + "  reg state;\n" + _last("a") + "  initial begin state = 1'b0; q0 = 1'b0; q1 = 1'b0; end\n"
            + _close(cell, "a", f"begin if (state) {then} else {first} state = ~state; end") + "endmodule\n")


def _dro(cell: Cell) -> str:
    return (_head(cell) + "  reg state;\n" + _last("d", "c") + f"""\
  initial begin state = 1'b0; q = 1'b0; end
  always @(posedge d or posedge c) begin
    if (d && last_d < last_c && $realtime - last_c < {cell.hold:.2f}) $display("VIOLATION %m: hold at %0t ps", $time);
    if (c) begin
      if ($realtime - last_d < {cell.setup:.2f}) $display("VIOLATION %m: setup at %0t ps", $time);
      if (state) {_pulse(cell, "q", cell.delay["c->q"])}
      state = 1'b0;
      last_c = $realtime;
    end else begin
      state = 1'b1;
      last_d = $realtime;
    end
  end
endmodule
""")


def _ndro(cell: Cell) -> str:
    return (_head(cell) + f"""\
  reg state;
  initial begin state = 1'b0; q = 1'b0; end
  always @(posedge s or posedge r or posedge c)
    if (!c) state = s;
    else if (state) {_pulse(cell, "q", cell.delay["c->q"])}
endmodule
""")


def _counter(cell: Cell) -> str:
    """v - (v >> LEAK) + up - down at the tick; LEAK of -1: none is lost."""
    parameters = " #(parameter integer THETA = 1, TOP = 127, HARD = 0, LEAK = -1)"
    body = ""
    for one, other, sign in (("up", "down", "+"), ("down", "up", "-")):
        own, across = (cell.separation.get(k, 0.0) for k in (one, f"{other},{one}"))
        body += f"""\
  always @(posedge {one}) begin
    if ($realtime - last_{one} < {own:.2f} || $realtime - last_{other} < {across:.2f})
      $display("VIOLATION %m: pulses on {one} and {other} too close at %0t ps", $time);
    sum = sum {sign} 1;
    last_{one} = $realtime;
  end
"""
    return (_head(cell, parameters) + _last("up", "down") + f"""\
  integer v, sum;
  initial begin v = 0; sum = 0; q = 1'b0; end
{body}  always @(posedge tick or posedge clear)
    if (clear) begin
      v = 0;
      sum = 0;
    end else begin
      v = v - (LEAK < 0 ? 0 : v >>> (LEAK < 0 ? 0 : LEAK)) + sum;
      if (v > TOP) v = TOP;
      if (v < -TOP - 1) v = -TOP - 1;
      sum = 0;
      if (v >= THETA) begin
        {_pulse(cell, "q", cell.delay["tick->q"])}
        v = HARD != 0 ? 0 : v - THETA;
      end
    end
endmodule
""")


def _end(cell: Cell) -> str:
    if cell.outputs:
        return f"module sfq_{cell.name} (output wire q);\n  assign q = 1'b0;\nendmodule\n"
    return f"module sfq_{cell.name} (input wire a);\nendmodule\n"


MODELS = {"jtl": _through, "splitter": _through, "merger": _merger, "tff": _tff, "tff2": _tff2, "dro": _dro, "ndro": _ndro,
          "counter": _counter, "none": _end}


def clears(netlist: Netlist) -> tuple[int, ...]:
    """When a pulse at the pin `clear` must start, for each layer, to find all pulses arrived and the decision still to come."""
    plan = netlist.plan
    ahead = plan.clear + 8.0
    return tuple(int(np.floor(t - ahead)) for t in plan.schedule.ticks)

"""Print a trace as plain Python: one assignment an operation, constants as typed values.

The lines run unchanged in Numba; `F` is the kernel's float type there. Another language gives its own forms.
"""

from __future__ import annotations

from collections.abc import Mapping

from snnsim.rule.trace import Symbol, reachable

FORMAT = {"const": "F({!r})", "add": "{} + {}", "sub": "{} - {}", "mul": "{} * {}", "div": "{} / {}", "neg": "-{}",
          "exp": "exp({})", "log": "np.log({})", "floor": "np.floor({})", "power": "{} ** {}", "ge": "{} >= {}",
          "gt": "{} > {}", "le": "{} <= {}", "lt": "{} < {}", "where": "({1} if {0} else {2})", "stop": "{}",
          "spike": "(F(1.0) if {} >= F(0.0) else F(0.0))"}


def print_lines(outputs: tuple[Symbol, ...], names: Mapping[str, str] | None = None, prefix: str = "_",
                known: dict[int, str] | None = None, forms: Mapping[str, str] = FORMAT) -> tuple[list[str], list[str]]:
    """The assignments that compute the outputs, and the expression that holds each output.

    `names` renames inputs; `known` maps the id of a symbol to the variable that already holds it, and is extended;
    `forms` says how each operation is written.
    """
    names = names or {}
    holds = {} if known is None else known
    lines: list[str] = []

    def reference(s: Symbol) -> str:
        if s.op == "const":
            return forms["const"].format(s.value)
        if s.op == "input":
            return names.get(s.name, s.name)
        return holds[id(s)]

    for s in reachable(outputs, dict(holds)):
        if s.op in ("const", "input"):
            continue
        variable = f"{prefix}{len(lines)}"
        lines.append(f"{variable} = " + forms[s.op].format(*[reference(a) for a in s.args]))
        holds[id(s)] = variable
    return lines, [reference(o) for o in outputs]

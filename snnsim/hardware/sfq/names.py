"""Which names Verilog takes."""

from __future__ import annotations

WORDS = frozenset((
    "always", "and", "assign", "automatic", "begin", "bit", "buf", "byte", "case", "casex", "casez", "cell", "class",
    "config", "const", "deassign", "default", "defparam", "design", "disable", "edge", "else", "end", "endcase",
    "endconfig", "endfunction", "endgenerate", "endmodule", "endprimitive", "endspecify", "endtable", "endtask",
    "enum", "event", "export", "final", "for", "force", "forever", "fork", "function", "generate", "genvar", "global",
    "if", "iff", "ifnone", "import", "incdir", "include", "initial", "inout", "input", "instance", "int", "integer",
    "interface", "join", "large", "let", "liblist", "library", "local", "localparam", "logic", "macromodule",
    "medium", "modport", "module", "nand", "negedge", "new", "nmos", "nor", "not", "null", "or", "output", "package",
    "packed", "parameter", "pmos", "posedge", "primitive", "priority", "program", "property", "protected", "pulldown",
    "pullup", "pure", "rand", "real", "realtime", "ref", "reg", "release", "repeat", "return", "scalared", "sequence",
    "shortint", "signed", "small", "specify", "specparam", "static", "string", "strong", "struct", "supply0",
    "supply1", "table", "tagged", "task", "this", "time", "tran", "tri", "type", "typedef", "union", "unique",
    "unsigned", "use", "var", "vectored", "virtual", "void", "wait", "wand", "weak", "while", "wire", "with", "wor",
    "xnor", "xor",
))


def identifier(name: str) -> str:
    """A name that Verilog takes for a module, and that is none of the cells'. ValueError for others."""
    if not (name.isascii() and name.isidentifier()) or len(name) > 64:
        raise ValueError(f"name must be letters, digits and _, at most 64, not first a digit, got {name!r}")
    if name in WORDS or name.startswith("sfq_"):
        raise ValueError(f"name must be no word of Verilog, nor begin with sfq_, got {name!r}: take another")
    return name

"""How layers stand to torch.compile: it compiles what lies between our kernels, and calls those as they are."""

from __future__ import annotations

from torch._compile import _disable_dynamo

# What it decorates breaks the graph, and nothing inside is traced. It is torch.compiler.disable, but for loading the
# compiler, a second or two, when it is first called (an optimiser has done so when it was made) and not at import.
uncompiled = _disable_dynamo

"""Child process: a NIR file in Norse, for encoding "unit_r" only: it ignores r."""

from functools import partial

from snnsim.hardware.nir.neurons import DT
from snnsim.interop.nir_child import import_tool, main

if __name__ == "__main__":
    main(partial(import_tool("norse.torch").from_nir, dt=DT), batched=False)

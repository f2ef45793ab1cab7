"""Child process: a NIR file in Sinabs, one step a call, for encoding "sinabs" only: tau counts steps and r is dropped."""

from functools import partial

from snnsim.interop.nir_child import import_tool, main

if __name__ == "__main__":
    main(partial(import_tool("sinabs.nir").from_nir, num_timesteps=1), batched=True)

"""Child process: a NIR file in SpikingJelly, whose default step of 1e-4 s is the one that `nir.export` writes."""

from snnsim.interop.nir_child import import_tool, main

if __name__ == "__main__":
    main(import_tool("spikingjelly.activation_based.nir_exchange").import_from_nir, batched=True)

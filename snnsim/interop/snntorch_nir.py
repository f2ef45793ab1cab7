"""Child process: a NIR file in snnTorch. Its Flatten takes the batch axis along, so that samples run one by one."""

from snnsim.interop.nir_child import import_tool, main

if __name__ == "__main__":
    main(import_tool("snntorch.import_nir").import_from_nir, batched=False)

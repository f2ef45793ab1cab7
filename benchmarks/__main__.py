"""python -m benchmarks NAME [options] --json"""

import typer

from benchmarks import (
    agreement,
    brunel,
    coba,
    cochlea,
    cuba,
    decode,
    delays,
    export,
    faults,
    frame,
    generality,
    gpu,
    inference,
    layout_picture,
    loihi,
    methods,
    microcircuit,
    neuron,
    phases,
    sanafe,
    scaling,
    sfq,
    sfq_cells,
    sfq_digits,
    sfq_pulses,
    sfq_somas,
    sfq_verilog,
    sparse,
    startup,
    store,
    stream,
    threads,
    training,
    training_memory,
    training_threads,
)

BENCHMARKS = {"inference": inference.inference, "neuron": neuron.neuron, "scaling": scaling.scaling, "startup": startup.startup,
              "brunel": brunel.brunel, "cuba": cuba.cuba, "coba": coba.coba, "microcircuit": microcircuit.microcircuit,
              "agreement": agreement.agreement, "generality": generality.generality, "phases": phases.phases,
              "threads": threads.threads, "train-ff": training.train_ff, "train-rec": training.train_rec,
              "train-conv": training.train_conv, "train-memory": training_memory.train_memory,
              "train-threads": training_threads.train_threads, "layout": layout_picture.layout, "gpu": gpu.gpu,
              "sparse": sparse.sparse, "methods": methods.methods, "cochlea": cochlea.cochlea, "delays": delays.delays,
              "export": export.export, "lava": loihi.lava, "faults": faults.faults, "sanafe": sanafe.sanafe, "sfq": sfq.sfq,
              "sfq_cells": sfq_cells.sfq_cells, "sfq_digits": sfq_digits.sfq_digits, "sfq_pulses": sfq_pulses.sfq_pulses,
              "sfq_somas": sfq_somas.sfq_somas, "sfq_verilog": sfq_verilog.sfq_verilog, "decode": decode.decode,
              "store": store.store, "stream": stream.stream, "frame": frame.frame}

app = typer.Typer(help="Measure snnsim beside its peers.", no_args_is_help=True, add_completion=False)
for name, benchmark in BENCHMARKS.items():
    app.command(name)(benchmark)

if __name__ == "__main__":
    app()

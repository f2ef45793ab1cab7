"""A reader for `snnsim.isolated` that does what the file says: harm, in a process of its own."""

import os
import signal
import sys

import numpy as np


def opened(path):
    with open(path) as file:
        return Harm(file.read().split())


class Harm:
    def __init__(self, deeds):
        self.says, self.numbers = {"pid": os.getpid()}, None
        self.deeds = deeds
        if deeds[0] == "at-once":
            self.answer({})

    def answer(self, request):
        deed = self.deeds[-1]
        if deed == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif deed == "abort":
            os.abort()
        elif deed == "exit":
            os._exit(3)
        elif deed == "memory":
            np.ones(2**30)
        elif deed == "hang":
            while True:
                pass
        elif deed == "sleep":
            import time
            time.sleep(60)
        elif deed == "print":
            os.write(1, b"not an answer\n")
            print("nor this", flush=True)
            sys.stderr.write("nor that\n")
        elif deed == "flood":
            return {}, np.zeros(10_000, np.int64)
        elif deed == "write":
            with open(request["to"], "wb") as file:
                file.write(b"x")
        elif deed == "refuse":
            raise ValueError(f"{request.get('path')} has no spikes")
        return {"pid": os.getpid()}, np.arange(3)

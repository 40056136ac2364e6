"""The walk of `bench/runs.py` as an interpreter of expressions that walks their trees does it: prints the CPU microseconds of one turn.

Run by an interpreter that has asteval; the walk comes on standard input, the number of walks as the argument.
"""

from __future__ import annotations

import json
import random
import sys
import time

from asteval import Interpreter

walk = json.load(sys.stdin)
interpreter = Interpreter()
turns, start = 0, time.process_time()
for seed in range(int(sys.argv[1])):
    interpreter.symtable |= {"random": random.Random(seed), "start_position": 5}
    for name, source in walk["init"].items():
        interpreter.symtable[name] = interpreter(source)
    while True:
        for name, source in walk["turn"].items():
            interpreter.symtable[name] = interpreter(source)
        turns += 1
        if interpreter(walk["until"]):
            break
print(round((time.process_time() - start) / turns * 1e6, 2))

"""Run a program in a process that ends with the process that started it, also if that one was killed.

Usage: python -m infoplane.sweeping.followed DESCRIPTOR PROGRAM [argument ...]. DESCRIPTOR is the end of a pipe whose
other end the starting process keeps open. PROGRAM is a module or a file of Python.
"""

import os
import runpy
import sys
import threading


def _end_with(descriptor: int) -> None:
    while os.read(descriptor, 1):
        pass
    os._exit(1)  # every file of a run is whole at any moment


def main() -> None:
    """Follow the pipe, and run the program as if it had been started itself."""
    descriptor, program, *arguments = sys.argv[1:]
    threading.Thread(target=_end_with, args=(int(descriptor),), daemon=True).start()
    sys.argv = [program, *arguments]
    if program.endswith(".py"):
        runpy.run_path(program, run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

"""Becomes the given command, which gets a signal from the kernel when the process that started it
dies.

Run as a file (`python -I -S tethered.py PARENT SIGNAL COMMAND…`). The flag has to be set between
fork and exec. A Python function there (`preexec_fn`) is unsafe in a process with threads, and a
warning from Python 3.12 on.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1  # prctl(2), Linux

if __name__ == "__main__":
    parent, signal, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal)
    if os.getppid() != parent:  # it died before the flag was set
        sys.exit(1)
    os.execvp(command[0], command)

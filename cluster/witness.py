"""Says why a driver has ended that could not say it itself: its raylet has.

A script, started by `watch` beside the driver with the raylet's socket and the line to print. Ray ends a
driver from within, at once and without a word, when it finds that the raylet is gone; nothing in that process
can come before. The driver writes a byte where it ends by itself.
"""

import os
import socket
import sys

raylet, line = sys.argv[1:]
if not os.read(0, 1):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(raylet)
        except OSError:
            sys.stderr.write(f"{line}\n")

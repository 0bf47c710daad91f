"""Waits for a message that never comes; prints the error that ends the wait and exits with 3."""

import sys

import genl

sock = genl.open_socket()
sock.settimeout(None)
print('waiting', flush=True)
try:
    sock.recv(4096)
except OSError as error:
    print('error', error.errno)
    sys.exit(3)

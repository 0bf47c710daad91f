"""Clients that do not behave: `abuse.py vanish N` and `abuse.py silent N SECONDS`, under `pfnl run`."""

import os
import random
import signal
import socket
import sys
import time

import genl


def vanish(count):
    """N clients that open a socket, begin something, and are killed in the middle of it."""
    for _ in range(count):
        child = os.fork()
        if child == 0:
            sock = genl.open_socket()
            genl.send(sock, 16, 3, b'', genl.REQUEST | genl.DUMP)
            if random.random() < 0.5:
                sock.recv(100)
            os.kill(os.getpid(), signal.SIGKILL)
        if random.random() < 0.3:
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def silent(count, seconds):
    """N sockets that listen to everything, ask for much, and never read."""
    socks = []
    for _ in range(count):
        sock = genl.open_socket()
        for group in range(1, 33):
            try:
                sock.setsockopt(270, 1, group)
            except OSError:
                pass
        for _ in range(20):
            genl.send(sock, 16, 3, b'', genl.REQUEST | genl.DUMP)
        socks.append(sock)
    print('silent', flush=True)
    time.sleep(seconds)


if sys.argv[1] == 'vanish':
    vanish(int(sys.argv[2]))
else:
    silent(int(sys.argv[2]), float(sys.argv[3]))

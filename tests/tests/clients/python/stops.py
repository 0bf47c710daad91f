"""Starts a dump of a datapath's flows, reads one message block of it, and stays there."""

import sys
import time

import genl

sock = genl.open_socket()
flows = genl.family(sock, 'ovs_flow')
genl.send(sock, flows, 3, genl.dp_header(sys.argv[1]), genl.REQUEST | genl.DUMP)
block = sock.recv(65536)
assert block[4] != 3 and len(block) < 65536, 'the dump is over in one block'
print('in the middle', flush=True)
time.sleep(60)

"""Makes a timeout policy for ICMP: two seconds (nfnetlink_cttimeout.h)."""

import socket
import struct

NETLINK_NETFILTER, TIMEOUT, REQUEST_ACK_CREATE = 12, 8, 0x405


def attribute(number, data):
    return struct.pack("HH", 4 + len(data), number) + data + b"\0" * (-len(data) % 4)


s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
s.bind((0, 0))
values = attribute(1, struct.pack(">I", 2))
body = attribute(1, b"short\0") + attribute(2, struct.pack(">H", 2)) + attribute(3, b"\1") + attribute(4, values)
header = struct.pack("IHHII", 20 + len(body), TIMEOUT << 8, REQUEST_ACK_CREATE, 1, 0)
s.send(header + struct.pack(">BBH", 2, 0, 0) + body)
error = struct.unpack_from("i", s.recv(4096), 16)[0]
assert error == 0, error
print("made")

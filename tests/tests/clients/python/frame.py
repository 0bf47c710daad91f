"""Sends an ICMP echo request as a raw frame, several times. Arguments: device, source, target, VLAN ids (outer first).

Not every kernel has VLAN devices; a raw frame needs none.
"""

import socket
import struct
import sys
import time


def checksum(data):
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


device, source, target = sys.argv[1:4]
icmp = struct.pack('!BBHHH', 8, 0, 0, 1, 1) + bytes(56)
icmp = icmp[:2] + struct.pack('!H', checksum(icmp)) + icmp[4:]
addresses = socket.inet_aton(source) + socket.inet_aton(target)
ip = struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(icmp), 1, 0, 64, 1, 0) + addresses
ip = ip[:10] + struct.pack('!H', checksum(ip)) + ip[12:]
tags = b''.join(struct.pack('!HH', 0x8100, int(vlan)) for vlan in sys.argv[4:])
frame = bytes.fromhex('020000000002 020000000001') + tags + b'\x08\x00' + ip + icmp
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
    sock.bind((device, 0))
    for _ in range(3):
        sock.send(frame)
        time.sleep(0.2)

"""Makes a port whose misses come to this socket, and waits for an ARP packet.

Arguments: datapath, device, port number. Prints "miss on port N, ethertype 0xXXXX, K bytes".
"""

import struct
import sys

import genl

datapath, device, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
with genl.open_socket() as sock:
    portid = sock.getsockname()[0]
    vports, packets = genl.family(sock, 'ovs_vport'), genl.family(sock, 'ovs_packet')
    port = genl.attr(1, struct.pack('I', number)) + genl.attr(2, struct.pack('I', 1))
    port += genl.attr(3, device.encode() + b'\0') + genl.attr(5, struct.pack('I', portid))
    genl.request(sock, vports, 1, genl.dp_header(datapath) + port)
    while True:
        message = sock.recv(65536)
        kind, _, sequence, sender = struct.unpack_from('HHII', message, 4)
        if kind in (2, vports):
            continue  # the acknowledgement of the port
        assert (kind, message[16], sequence, sender) == (packets, 1, 0, 0), 'not a miss'
        got = genl.attrs(message[24:])
        in_port = struct.unpack('I', genl.attrs(got[2])[3])[0]
        ethertype = struct.unpack('>H', got[1][12:14])[0]
        if ethertype == 0x0806:
            print('miss on port %d, ethertype %#06x, %d bytes' % (in_port, ethertype, len(got[1])))
            break

"""Makes a datapath with a port whose misses come to this socket, and waits for an ARP packet.

ovs-dpctl's datapaths dispatch by processor; this one by port. Arguments: datapath, device, a
file to make when all is set up. Prints "miss on port N, ethertype 0xXXXX, K bytes".
"""

import struct
import sys

import genl

datapath, device, ready = sys.argv[1:4]
with genl.open_socket() as sock:
    portid = sock.getsockname()[0]
    datapaths, vports, packets = (genl.family(sock, 'ovs_' + name) for name in ('datapath', 'vport', 'packet'))
    to_me = struct.pack('I', portid)
    body = struct.pack('i', 0) + genl.attr(1, datapath.encode() + b'\0') + genl.attr(2, to_me)
    genl.request(sock, datapaths, 1, body, genl.REQUEST | genl.ACK, version=2)
    port = genl.attr(1, struct.pack('I', 1)) + genl.attr(2, struct.pack('I', 1))
    port += genl.attr(3, device.encode() + b'\0') + genl.attr(5, to_me)
    genl.request(sock, vports, 1, genl.dp_header(datapath) + port)
    open(ready, 'w').close()
    while True:
        message = sock.recv(65536)
        kind, _, sequence, sender = struct.unpack_from('HHII', message, 4)
        if kind in (2, datapaths, vports):
            continue  # acknowledgements
        assert (kind, message[16], sequence, sender) == (packets, 1, 0, 0), 'not a miss'
        got = genl.attrs(message[24:])
        in_port = struct.unpack('I', genl.attrs(got[2])[3])[0]
        ethertype = struct.unpack('>H', got[1][12:14])[0]
        if ethertype == 0x0806:
            print('miss on port %d, ethertype %#06x, %d bytes' % (in_port, ethertype, len(got[1])))
            break

"""Raw generic netlink, as little of it as these scripts need."""

import socket
import struct

REQUEST, ACK, DUMP = 1, 4, 0x300


def attr(kind, data):
    return struct.pack('HH', 4 + len(data), kind) + data + bytes(-len(data) % 4)


def attrs(data):
    found, at = {}, 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from('HH', data, at)
        assert length >= 4, 'a broken attribute'
        found[kind & 0x3FFF] = data[at + 4 : at + length]
        at += (length + 3) & ~3
    return found


def open_socket():
    sock = socket.socket(16, socket.SOCK_RAW, 16)
    sock.settimeout(10)
    sock.bind((0, 0))
    return sock


def send(sock, family, cmd, body=b'', flags=REQUEST | ACK, version=1):
    payload = struct.pack('BBH', cmd, version, 0) + body
    sock.send(struct.pack('IHHII', 16 + len(payload), family, flags, 7, 0) + payload)


def request(sock, family, cmd, body=b'', flags=REQUEST | ACK, version=1):
    send(sock, family, cmd, body, flags, version)
    answer = sock.recv(65536)
    if struct.unpack_from('H', answer, 4)[0] == 2:
        error = struct.unpack_from('i', answer, 16)[0]
        assert error == 0, 'error %d' % error
    return answer


def family(sock, name):
    answer = request(sock, 16, 3, attr(2, name.encode() + b'\0'), REQUEST)
    return struct.unpack('H', attrs(answer[20:])[1])[0]


def dp_header(datapath):
    return struct.pack('i', socket.if_nametoindex(datapath))

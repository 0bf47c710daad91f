"""pyroute2 as a client: finds families, reads a policy, dumps the datapaths; the last line says so."""

import sys

from pyroute2.netlink import NLM_F_DUMP, NLM_F_REQUEST, genlmsg
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.generic import GenericNetlinkSocket


class datapath(genlmsg):
    """A message of ovs_datapath: the user header is dp_ifindex."""

    fields = genlmsg.fields + (('dp_ifindex', 'i'),)
    nla_map = (('OVS_DP_ATTR_UNSPEC', 'none'), ('OVS_DP_ATTR_NAME', 'asciiz'), ('OVS_DP_ATTR_UPCALL_PID', 'uint32'))


expected = sys.argv[1:]
with GenericNetlinkSocket() as socket:
    socket.bind('ovs_datapath', datapath)
    assert socket.prid >= 19, socket.prid
    assert 'ovs_datapath' in socket.mcast_groups, socket.mcast_groups

    request = datapath()
    request['cmd'] = 3
    request['version'] = 2
    answers = socket.nlm_request(request, msg_type=socket.prid, msg_flags=NLM_F_REQUEST | NLM_F_DUMP)
    names = sorted(answer.get_attr('OVS_DP_ATTR_NAME') for answer in answers)
    assert names == sorted(expected), names

with GenericNetlinkSocket() as socket:
    socket.bind('ovs_flow', genlmsg)
    assert socket.policy('ovs_flow'), 'no policy'

with GenericNetlinkSocket() as socket:
    try:
        socket.bind('no_such_family', genlmsg)
    except NetlinkError as error:
        assert error.code == 2, error
    else:
        raise AssertionError('a family that is not there was found')

print('pyroute2: ok:', ' '.join(names))

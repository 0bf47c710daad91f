# openvswitch.ko's whole life, between two vnet jails. The client is tests/dpctl.
. ./lib.sh
dp() { /extra/pfnl-dpctl "$@"; }
ports() { sysctl -n net.ovs.ports; }
ping_ok() { # JAIL ADDRESS [COUNT]
	jexec $1 ping -q -c ${3:-5} -i 0.2 -t 30 $2 | grep -q " 0.0% packet loss"
}
flows() {
	dp add-flow dp0 "in_port($1),eth(),eth_type(0x0806),arp()" "$2" &&
	    dp add-flow dp0 "in_port($1),eth(),eth_type(0x0800),ipv4(frag=no)" "$2" &&
	    dp add-flow dp0 "in_port($1),eth(),eth_type(0x86dd),ipv6(frag=no)" "$2"
}
between() { dp del-flows dp0 && flows $1 $2 && flows $2 $1; }

echo "-- load, and ports"
kldload ./openvswitch.ko 2>/dev/null && fail "loaded without pfnl.ko"
kldload ./pfnl.ko || fail "kldload pfnl"
kldload ./openvswitch.ko || fail "kldload openvswitch"
a=$(pair a 10.0.0.1) && b=$(pair b 10.0.0.2) || fail "two jails"
dp add-dp dp0 || fail "add-dp"
dp add-dp dp0 2>/dev/null && fail "the same datapath twice"
empty=$(used)
dp add-if dp0 $a && dp add-if dp0 $b || fail "add-if"
dp add-if dp0 $a 2>/dev/null && fail "the same port twice"
dp add-if dp0 lo0 2>/dev/null && fail "lo0 as a port"
dp add-if dp0 none0 2>/dev/null && fail "a port without interface"
ifconfig $a | grep -q PROMISC || fail "a port that is not promiscuous"
for type in vxlan gre geneve; do
	dp add-if dp0 tun0 $type 2>/dev/null && fail "a $type port, which cannot be"
done
dp show

echo "-- flows, and ping between the jails"
jexec a ping -q -c 1 -t 2 10.0.0.2 | grep -q "100.0% packet loss" || fail "packets without flows"
between 1 2 || fail "add-flow"
ping_ok a 10.0.0.2 20 || fail "ping"
dp dump-flows dp0
[ "$(dp dump-flows dp0 | grep -c 'packets:[1-9]')" -ge 4 ] || fail "flows that count nothing"
jexec a ping -q -c 3 -t 10 -s 8000 10.0.0.2 | grep -q " 0.0%" && fail "fragments have flows with frag=no"

echo "-- TCP between the jails"
dd if=/dev/urandom of=/tmp/data bs=64k count=32 2>/dev/null
jexec b nc -l 5001 >/tmp/got & sleep 1
jexec a sh -c "nc -N 10.0.0.2 5001 </tmp/data" || fail "nc"
await cmp -s /tmp/data /tmp/got || fail "TCP"

echo "-- VLAN tags"
dp del-flows dp0
dp add-flow dp0 "in_port(1),eth(),eth_type(0x0806),arp()" "push_vlan(vid=7,pcp=0),2" || fail "push_vlan"
dp add-flow dp0 "in_port(1),eth(),eth_type(0x0800),ipv4(frag=no)" "push_vlan(vid=7,pcp=0),2" || fail "push_vlan"
for inner in "eth_type(0x0806),arp()" "eth_type(0x0800),ipv4(frag=no)"; do
	dp add-flow dp0 "in_port(2),eth(),eth_type(0x8100),vlan(vid=7,pcp=0),encap($inner)" "pop_vlan,1" || fail "pop_vlan"
done
jexec b ifconfig vlan7 create vlan 7 vlandev ${b%a}b || fail "vlan7"
jexec b ifconfig ${b%a}b -alias 10.0.0.2
jexec b ifconfig vlan7 inet 10.0.0.2/24 up
ping_ok a 10.0.0.2 || fail "ping through a VLAN"
jexec b nc -l 5001 >/tmp/got & sleep 1
jexec a sh -c "nc -N 10.0.0.2 5001 </tmp/data" || fail "nc through a VLAN"
await cmp -s /tmp/data /tmp/got || fail "TCP through a VLAN"
jexec b ifconfig vlan7 destroy
jexec b ifconfig ${b%a}b inet 10.0.0.2/24 up

echo "-- connections"
connections() { dp connections | grep -q "connections: $1$"; }
dp del-flows dp0
for way in "1 2" "2 1"; do
	dp add-flow dp0 "in_port(${way% *}),eth(),eth_type(0x0806),arp()" ${way#* } &&
	    dp add-flow dp0 "recirc_id(0),in_port(${way% *}),eth(),eth_type(0x0800),ipv4(frag=no)" "ct(commit),${way#* }" ||
	    fail "flows of connections"
done
connections 0 || fail "$(dp connections), before any"
dp watch-connections 50 >/tmp/connections 2>&1 & watcher=$!
await grep -q ready /tmp/connections || fail "watch-connections"
ping_ok a 10.0.0.2 || fail "ping with ct"
connections 1 || fail "$(dp connections), not one"
await grep -q new /tmp/connections || fail "nobody was told of a connection"
dp flush-connections || fail "flush-connections"
connections 0 || fail "$(dp connections), after a flush"
await grep -q gone /tmp/connections || fail "nobody was told of the end of a connection"
ping_ok a 10.0.0.2 || fail "ping with ct, again"
dp del-flows dp0
# 30 seconds without a packet, and nothing new that would sweep.
for ninth in 1 2 3 4 5 6 7 8 9; do await connections 0 && break; done
connections 0 || fail "$(dp connections), which never end"
kill $watcher; wait $watcher 2>/dev/null
between 1 2

echo "-- an internal port with an address"
dp add-if dp0 int0 internal || fail "int0"
dp add-if dp0 int0 internal 2>/dev/null && fail "int0 twice"
ifconfig int0 ether 02:00:00:00:00:09 && ifconfig int0 inet 10.0.0.9/24 mtu 1400 up && ifconfig int0 mtu 1500 || fail "ifconfig int0"
dp del-flows dp0; between 1 3 || fail "add-flow"
ping -q -c 5 -i 0.2 -t 30 10.0.0.1 | grep -q " 0.0%" || fail "ping from the host"
ping_ok a 10.0.0.9 || fail "ping to the host"
jexec a nc -l 5001 >/tmp/got & sleep 1
nc -N 10.0.0.1 5001 </tmp/data || fail "nc from the host"
await cmp -s /tmp/data /tmp/got || fail "TCP from the host"
nc -l 5001 >/tmp/got & sleep 1
jexec a sh -c "nc -N 10.0.0.9 5001 </tmp/data" || fail "nc to the host"
await cmp -s /tmp/data /tmp/got || fail "TCP to the host"
tcpdump -c 2 -n -i int0 >/tmp/dump 2>/dev/null & sleep 1
ping -q -c 2 -t 5 10.0.0.1 >/dev/null
await grep -q 10.0.0.1 /tmp/dump || fail "bpf on int0"
ifconfig int0 destroy 2>/dev/null && fail "an internal port destroyed by ifconfig"
dp show | grep int0

echo "-- an internal port in a jail"
ifconfig int0 -alias 10.0.0.9
ifconfig int0 vnet b || fail "int0 to b"
jexec b ifconfig ${b%a}b -alias 10.0.0.2
jexec b ifconfig int0 inet 10.0.0.9/24 up || fail "ifconfig in b"
ping_ok a 10.0.0.9 || fail "ping to the jail's internal port"
jexec b ifconfig ${b%a}b inet 10.0.0.2/24 up
dp del-if dp0 int0 || fail "del-if int0"
jexec b ifconfig int0 >/dev/null 2>&1 && fail "int0 is left in b"

echo "-- upcalls"
dp del-flows dp0
dp learn dp0 >/tmp/learn 2>&1 & learner=$!
await grep -q ready /tmp/learn || fail "learn: $(cat /tmp/learn)"
ping_ok a 10.0.0.2 || fail "ping with upcalls"
ping_ok b 10.0.0.1 || fail "ping back with upcalls"
[ "$(dp dump-flows dp0 | wc -l)" -ge 2 ] || fail "no flows were set up"
kill $learner; wait $learner 2>/dev/null

echo "-- nobody reads the upcalls, and dies"
dp del-flows dp0
dp sink dp0 >/tmp/sink 2>&1 & sink=$!
await grep -q ready /tmp/sink || fail "sink"
jexec a arp -s 10.0.0.2 02:00:00:00:00:77 >/dev/null
jexec a ping -q -f -c 3000 -t 10 10.0.0.2 >/dev/null
dp show | grep lost
dp show | grep -q "lost:0$" && fail "nothing was lost"
kill -9 $sink; wait $sink 2>/dev/null
jexec a ping -q -c 20 -i 0.02 -t 3 10.0.0.2 >/dev/null
jexec a arp -d 10.0.0.2 >/dev/null
between 1 2; ping_ok a 10.0.0.2 || fail "ping afterwards"

echo "-- a new name, another vnet, and the end, in full traffic"
dp watch >/tmp/watch & watcher=$!
await grep -q ready /tmp/watch || fail "watch"
ifconfig $a name uplink0 >/dev/null
dp show | grep -q "port 1: uplink0" || fail "the new name"
ping_ok a 10.0.0.2 || fail "ping under the new name"
ifconfig uplink0 name $a >/dev/null
jexec a ping -q -f -t 20 10.0.0.2 >/dev/null 2>&1 & flood=$!
sleep 1
ifconfig $b vnet a || fail "$b to a"
await grep -q "gone: $b" /tmp/watch || fail "nobody was told of the move"
ifconfig $b -vnet a; ifconfig $b up
ifconfig $b | grep -q PROMISC && fail "$b stays promiscuous"
dp add-if dp0 $b || fail "add-if again"
between 1 2; ping_ok b 10.0.0.1 || fail "ping after the move"
ifconfig $b destroy
await grep -q "gone: $b" /tmp/watch || fail "nobody was told of the end"
dp show
kill $flood $watcher; wait 2>/dev/null
b=$(ifconfig epair create) && ifconfig ${b%a}b vnet b && ifconfig $b up || fail "a new epair"
jexec b ifconfig ${b%a}b inet 10.0.0.2/24 up
jexec a arp -d 10.0.0.2 >/dev/null
dp add-if dp0 $b && between 1 2 && ping_ok a 10.0.0.2 || fail "ping by a new epair"

echo "-- refused while there is a datapath, or a dump"
kldunload openvswitch 2>/dev/null && fail "unloaded under a datapath"
kldunload pfnl 2>/dev/null && fail "pfnl unloaded under openvswitch"
dp del-flows dp0
n=0; while [ $n -lt 60 ]; do
	for port in 1 2; do dp add-flow dp0 "in_port($port),eth(),eth_type(0x0800),ipv4(src=10.9.$n.0/255.255.255.0,frag=no)" 1,2,1,2 || fail "flow $n"; done
	n=$((n + 1))
done
dp hold-dump dp0 60 >/tmp/hold & holder=$!
await grep -q ready /tmp/hold || fail "hold-dump"
dp del-dp dp0 || fail "del-dp under a dump"
[ "$(sysctl -n net.ovs.dumps)" = 1 ] || fail "no dump is held"
kldunload openvswitch 2>/dev/null && fail "unloaded under a dump"
kill $holder; wait $holder 2>/dev/null
[ "$(ports)" = 0 ] || fail "ports are left"

echo "-- rights"
jail -c name=plain persist allow.socket_af || fail "plain"
jexec plain /extra/pfnl-dpctl add-dp dp9 2>&1 | grep -qi "not permitted" || fail "a jail without rights"
jexec plain /extra/pfnl-dpctl show || fail "what needs no rights"
jail -r plain
jexec -U nobody a /extra/pfnl-dpctl add-dp dp9 2>&1 | grep -qi "not permitted" || echo "(no nobody to try)"

echo "-- a datapath in a jail, which ends"
jexec a /extra/pfnl-dpctl add-dp dp0 || fail "add-dp in a"
jexec a /extra/pfnl-dpctl add-if dp0 ${a%a}b || fail "add-if in a"
jexec a /extra/pfnl-dpctl add-if dp0 int0 internal || fail "int0 in a"
dp show | grep -q dp0 && fail "a's datapath is seen outside"
jail -r a
no_ports() { [ "$(ports)" = 0 ]; }
# A jail lives as long as its connections in TIME_WAIT: a minute.
for ninth in 1 2 3 4 5 6 7 8 9; do await no_ports && break; done
no_ports || fail "$(ports) ports are left of a"
sleep 1
ifconfig $a destroy
a=$(pair a 10.0.0.1) || fail "a anew"
jexec b arp -d 10.0.0.1 >/dev/null

echo "-- malformed requests, and no memory"
dp add-dp dp0 && dp add-if dp0 $a && dp add-if dp0 $b && between 1 2 || fail "dp0 anew"
for seed in 1 2 3 4; do dp storm dp0 $seed ${STORM:=1500} || fail "storm $seed"; done
# What needs mbufs too: headers pushed, copies.
dp del-flows dp0
for way in "1 2" "2 1"; do
	dp add-flow dp0 "in_port(${way% *}),eth(),eth_type(0x0806),arp()" ${way#* } &&
	    dp add-flow dp0 "in_port(${way% *}),eth(),eth_type(0x0800),ipv4(frag=no)" \
		"${way#* },push_vlan(vid=9,pcp=0),${way#* },pop_vlan,${way#* }" || fail "flows that copy"
done
ping_ok a 10.0.0.2 || fail "ping with copies"
for every in 3 7 31 101; do
	jexec a ping -q -f -t 20 10.0.0.2 >/dev/null 2>&1 & flood=$!
	sysctl net.pfnl.fail_every=$every >/dev/null
	dp storm dp0 $every 300 >/dev/null 2>&1
	dp add-if dp0 int1 internal >/dev/null 2>&1; dp del-if dp0 int1 >/dev/null 2>&1
	dp add-dp dp1 >/dev/null 2>&1; dp del-dp dp1 >/dev/null 2>&1
	sysctl net.pfnl.fail_every=0 >/dev/null
	dp del-if dp0 int1 >/dev/null 2>&1; dp del-dp dp1 >/dev/null 2>&1
	kill $flood; wait $flood 2>/dev/null
done
dp del-flows dp0; between 1 2
ping_ok a 10.0.0.2 || fail "ping after all that"
# Mangled names have made datapaths of their own.
dp del-dps || fail "del-dps"
[ "$(ports)" = 0 ] || fail "$(ports) ports are left"
kldunload openvswitch || fail "kldunload"

echo "-- ${CYCLES:=100} cycles of load, forward, unload, under traffic"
jexec a arp -s 10.0.0.2 02:00:00:00:00:77 >/dev/null
jexec a ping -q -f 10.0.0.2 >/dev/null 2>&1 & flood=$!
jexec b ping -q -i 0.05 10.0.0.1 >/dev/null 2>&1 & slow=$!
n=0
while [ $n -lt $CYCLES ]; do
	kldload ./openvswitch.ko || fail "kldload, cycle $n"
	dp add-dp dp0 && dp add-if dp0 $a && dp add-if dp0 $b && between 1 2 || fail "ports and flows, cycle $n"
	kldunload openvswitch 2>/dev/null && fail "unloaded under a datapath, cycle $n"
	dp dump-flows dp0 | grep -q "packets:[1-9]" || sleep 0.2
	dp del-dp dp0 || fail "del-dp, cycle $n"
	kldunload openvswitch || fail "kldunload, cycle $n"
	[ $n != 1 ] || before=$(used)
	n=$((n + 1))
done
kill $flood $slow; wait 2>/dev/null
sleep 1
[ -z "$(used openvswitch)" ] || fail "the module's memory type is left"
[ "$(used)" -le "$before" ] || fail "memory is left: $(used) allocations, $before after the second cycle"
kldunload pfnl || fail "kldunload pfnl"
[ -z "$(used)" ] || fail "pfnl's memory type is left"
jail -r a; jail -r b
complaints && fail "the kernel complains"
echo "-- all of ovs passed"

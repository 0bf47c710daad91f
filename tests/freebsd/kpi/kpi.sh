# Runs on the test machine: a family in C, in a module of its own, and what the compat headers bring.
fail() { echo "FAILED: $*"; dmesg | tail -5; exit 1; }
used() { vmstat -m | awk '$1 == "pfnl" || $1 == "pfnlkpi" { n += $2 } END { print n + 0 }'; }

echo "-- epoll on kqueue"
/extra/epoll || fail "epoll"

echo "-- a family in C"
kldload /extra/weather.ko 2>/dev/null && fail "a family without pfnl.ko"
kldload /extra/pfnl.ko || fail "kldload pfnl"
kldload /extra/weather.ko || fail "kldload weather"
/extra/weather || fail "the family"
held=$(used)
/extra/weather >/dev/null || fail "the family, again"
[ "$(used)" = "$held" ] || fail "memory is left: $(used) allocations, $held before"
kldunload pfnl 2>/dev/null && fail "pfnl.ko went under a module that needs it"

echo "-- a jail has it too, with cities in common and sockets of its own"
jail -c name=weather vnet persist allow.socket_af || fail "jail"
[ "$(jexec weather /extra/weather count)" = 0 ] || fail "the family in a jail"
jail -r weather || fail "jail -r"

echo "-- refused while a dump is in progress; forced, the dump ends"
/extra/weather hold >/tmp/held & holder=$!
for second in 1 2 3 4 5; do grep -q held /tmp/held && break; sleep 1; done
kldunload weather 2>/dev/null && fail "unloaded under a dump"
kldunload -f weather || fail "kldunload -f"
wait $holder || fail "the dump did not end"
grep -q "ended with -2" /tmp/held || fail "the dump ended otherwise: $(cat /tmp/held)"

echo "-- no memory: each second, third, seventh … allocation fails"
kldload /extra/weather.ko || fail "kldload weather"
for every in 2 3 7 50; do
	sysctl net.pfnl.fail_every=$every >/dev/null
	/extra/weather >/dev/null
	sysctl net.pfnl.fail_every=0 >/dev/null
done
/extra/weather forget >/dev/null
/extra/weather || fail "the family, afterwards"
kldunload weather || fail "kldunload weather"
n=0
while [ $n -lt 20 ]; do
	kldload /extra/weather.ko || fail "kldload, cycle $n"
	/extra/weather count >/dev/null || fail "count, cycle $n"
	kldunload weather || fail "kldunload, cycle $n"
	n=$((n + 1))
done

if [ -x /extra/ovs-dpctl ]; then
	echo "-- ovs-dpctl, built for FreeBSD from its sources"
	kldload /extra/openvswitch.ko || fail "kldload openvswitch"
	ifconfig epair create >/dev/null || fail "epair"
	/extra/ovs-dpctl add-dp dp0 || fail "add-dp"
	/extra/ovs-dpctl add-if dp0 epair0a || fail "add-if"
	/extra/ovs-dpctl add-flow dp0 "in_port(1),eth(),eth_type(0x0806),arp()" 0 || fail "add-flow"
	/extra/ovs-dpctl dump-flows dp0 | grep -q "eth_type(0x0806)" || fail "dump-flows"
	/extra/ovs-dpctl show | grep -q epair0a || fail "show"
	/extra/ovs-dpctl del-flow dp0 "in_port(1),eth(),eth_type(0x0806),arp()" || fail "del-flow"
	/extra/ovs-dpctl del-if dp0 epair0a || fail "del-if"
	/extra/ovs-dpctl del-dp dp0 || fail "del-dp"
	ifconfig epair0a destroy
	kldunload openvswitch || fail "kldunload openvswitch"
fi
if [ -x /extra/genl-family-get ]; then
	/extra/genl-family-get nlctrl | grep -q "id=16" || fail "libmnl's example"
fi
kldunload pfnl || fail "kldunload pfnl"
exit 0

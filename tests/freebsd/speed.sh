# Forwarding between two epairs of vnet jails: openvswitch.ko beside if_bridge(4), in turns, in one boot.
. ./lib.sh
dp() { /extra/pfnl-dpctl "$@"; }
: ${ROUNDS:=5} ${SECONDS_EACH:=4}
kldload ./pfnl.ko && kldload ./openvswitch.ko || fail "kldload"
a=$(pair a 10.0.0.1) && b=$(pair b 10.0.0.2) || fail "two jails"

by_bridge() {
	bridge=$(ifconfig bridge create) && ifconfig $bridge addm $a addm $b up || fail "bridge"
	"$@"
	ifconfig $bridge destroy
}
by_ovs() {
	dp add-dp dp0 && dp add-if dp0 $a && dp add-if dp0 $b || fail "datapath"
	for way in "1 2" "2 1"; do
		dp add-flow dp0 "in_port(${way% *}),eth(),eth_type(0x0806),arp()" ${way#* }
		dp add-flow dp0 "in_port(${way% *}),eth(),eth_type(0x0800),ipv4(frag=no)" ${way#* }
	done
	"$@"
	dp del-dp dp0
}
received() { jexec b netstat -I ${b%a}b -bn | awk '/Link/ { print $(NF - 7) }'; }
# Packets that have come through in a second of sending; nobody need read them.
measure_udp() {
	sleep 1
	jexec a ping -q -c 1 -t 3 10.0.0.2 >/dev/null
	local before=$(received)
	jexec a /extra/blast udp 10.0.0.2 $SECONDS_EACH || fail "blast udp"
	sleep 0.5
	echo $((($(received) - before) / SECONDS_EACH))
}
measure_tcp() {
	sleep 1
	jexec b /extra/blast count $((SECONDS_EACH + 3)) >/tmp/count & counter=$!
	await grep -q ready /tmp/count || fail "blast"
	jexec a ping -q -c 1 -t 3 10.0.0.2 >/dev/null
	jexec a /extra/blast tcp 10.0.0.2 $SECONDS_EACH || fail "blast tcp"
	wait $counter
	awk '/Mbit/ { print $3 }' /tmp/count
}
jexec b sysctl net.inet.udp.blackhole=1 >/dev/null
middle() {
	awk '{ v[NR] = $1 + 0 } END { for (i = 2; i <= NR; i++) for (j = i; j > 1 && v[j - 1] > v[j]; j--) {
		t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }; print v[int((NR + 1) / 2)] }'
}
for what in udp tcp; do
	: >/tmp/bridge.$what; : >/tmp/ovs.$what
	round=0
	while [ $round -lt $ROUNDS ]; do
		by_bridge measure_$what >>/tmp/bridge.$what
		by_ovs measure_$what >>/tmp/ovs.$what
		round=$((round + 1))
	done
	unit="packets of 64 bytes a second"; [ $what = udp ] || unit="Mbit/s by TCP"
	bridge=$(middle </tmp/bridge.$what); ovs=$(middle </tmp/ovs.$what)
	echo "if_bridge:" $(cat /tmp/bridge.$what)
	echo "openvswitch:" $(cat /tmp/ovs.$what)
	echo "SPEED: openvswitch $ovs, if_bridge $bridge $unit: ratio $(echo $ovs $bridge | awk '{ printf "%.2f", $1 / $2 }')"
done
kldunload openvswitch && kldunload pfnl || fail "kldunload"
jail -r a; jail -r b
echo "-- speed was measured"
exit 0

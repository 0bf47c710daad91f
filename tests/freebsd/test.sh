# Runs on the test machine, as /extra/test.sh: pfnl.ko's whole life. A step that fails ends it with its number.
fail() { echo "FAILED: $*"; dmesg | tail -5; exit 1; }
used() { vmstat -m | awk '$1 == "pfnl" { print $2 }'; }

echo "-- load, and the socket family"
kldload /extra/pfnl.ko || fail "kldload"
kldload /extra/pfnl.ko 2>/dev/null && fail "loaded twice"
empty=$(used)
./sockets || fail "sockets"
[ "$(sysctl -n net.pfnl.sockets)" = 0 ] || fail "sockets are left"
[ "$(sysctl -n net.pfnl.datagrams)" = 0 ] || fail "datagrams are left"
[ "$(used)" = "$empty" ] || fail "memory is left: $(used) allocations, $empty before"

echo "-- the native netlink beside it"
ifconfig lo0 >/dev/null || fail "ifconfig"
netstat -rn >/dev/null || fail "netstat"

echo "-- requests by the thousand, and trouble"
./trouble || fail "trouble"
[ "$(sysctl -n net.pfnl.sockets)" = 0 ] || fail "sockets are left"
[ "$(used)" = "$empty" ] || fail "memory is left: $(used) allocations, $empty before"

echo "-- refused while a socket is open"
./hold & holder=$!
sleep 1
kldunload pfnl 2>/dev/null && fail "unloaded under an open socket"
kill $holder; wait $holder 2>/dev/null

echo "-- jails with a network stack of their own"
jail -c name=one vnet persist allow.socket_af || fail "jail one"
jail -c name=two vnet persist allow.socket_af || fail "jail two"
./jailed one two || fail "jailed"
jail -r one && jail -r two || fail "jail -r"
jail -c name=three vnet persist allow.socket_af || fail "jail three"

echo "-- unload with a jail there"
kldunload pfnl || fail "kldunload"
[ -z "$(used)" ] || fail "the module's memory type is left"
jail -r three

echo "-- ${CYCLES:=100} cycles of load, use, unload"
n=0
while [ $n -lt $CYCLES ]; do
	kldload /extra/pfnl.ko || fail "kldload, cycle $n"
	[ $((n % 10)) != 0 ] || ./sockets >/dev/null || fail "sockets, cycle $n"
	kldunload pfnl || fail "kldunload, cycle $n"
	n=$((n + 1))
done
dmesg | grep -iE "leak|lock order|panic|WITNESS: |memory modified" && fail "the kernel complains"
echo "-- all of it passed"
exit 0

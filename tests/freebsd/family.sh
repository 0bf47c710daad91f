# pfnl.ko's whole life: the socket family.
. ./lib.sh

echo "-- load, and the socket family"
kldload /extra/pfnl.ko || fail "kldload"
kldload /extra/pfnl.ko 2>/dev/null && fail "loaded twice"
./sockets || fail "sockets"
# Tables have got their memory by now, and keep it.
empty=$(used)
./sockets >/dev/null || fail "sockets, the second time"
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

echo "-- limits"
sysctl net.pfnl.rcvbuf_max=1048576 >/dev/null || fail "sysctl rcvbuf_max"
[ "$(sysctl -n net.pfnl.rcvbuf_max)" = 1048576 ] || fail "rcvbuf_max"
./limits 1048576 || fail "limits"
sysctl net.pfnl.rcvbuf_max=1 >/dev/null 2>&1 && fail "rcvbuf_max of 1"
sysctl net.pfnl.rcvbuf_max=212992 >/dev/null
./limits 212992 || fail "limits, as they were"

echo "-- no memory: each second, third, seventh … allocation fails"
for every in 2 3 7 50; do
	sysctl net.pfnl.fail_every=$every >/dev/null || fail "sysctl"
	./trouble >/dev/null
	sysctl net.pfnl.fail_every=0 >/dev/null
	./sockets >/dev/null || fail "sockets, after every ${every}th allocation failed"
done
echo "$(sysctl -n net.pfnl.nomem) datagrams were lost for want of memory"
[ "$(sysctl -n net.pfnl.datagrams)" = 0 ] || fail "datagrams are left"
[ "$(used)" -le $((empty + 4)) ] || fail "memory is left: $(used) allocations, $empty before"

echo "-- refused while a socket is open"
./hold & holder=$!
for second in 1 2 3 4 5 6 7 8 9 10; do
	[ "$(sysctl -n net.pfnl.sockets)" = 1 ] && break
	sleep 1
done
[ "$(sysctl -n net.pfnl.sockets)" = 1 ] || fail "no socket is held"
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

sh /extra/kpi.sh || fail "families in C, and programs written for Linux"

echo "-- AF_NETLINK taken over"
kldload /extra/native.ko || fail "kldload native"
./snl || fail "the native family, before takeover"
kenv net.pfnl.takeover=1 >/dev/null
kldload /extra/pfnl.ko || fail "kldload with takeover"
./snl || fail "the native family, with takeover"
./snl threads || fail "the native family, with threads on its sockets"
[ "$(sysctl -n net.pfnl.sockets)" = 0 ] || fail "sockets are left that were handed over"
genl list | grep -q nativetest || fail "genl list, with takeover"
./sockets 38 || fail "sockets of AF_NETLINK"
./sockets >/dev/null || fail "sockets of our own family, with takeover"
ifconfig epair create >/dev/null || ifconfig tap create >/dev/null || fail "ifconfig create"
ifconfig lo0 inet 127.0.0.9/32 alias || fail "ifconfig alias"
ifconfig lo0 | grep -q 127.0.0.9 || fail "ifconfig, with takeover"
route -n get 127.0.0.1 >/dev/null || fail "route, with takeover"
netstat -rn | grep -q lo0 || fail "netstat, with takeover"
kldunload pfnl || fail "kldunload with takeover"
ifconfig lo0 | grep -q 127.0.0.9 || fail "ifconfig, after takeover"
./snl || fail "the native family, after takeover"
kldunload native || fail "kldunload native"
genl list >/dev/null || fail "the native generic netlink, after takeover"

complaints && fail "the kernel complains"
echo "-- all of the family passed"

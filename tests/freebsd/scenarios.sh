# The socket scenarios, each in a process of its own; whoever started the machine compares them with Linux's.
. ./lib.sh
kldload ./pfnl.ko || fail "kldload"
# As on the Linux beside it: families to list, and what it charges for buffers.
kldload ./openvswitch.ko || fail "kldload openvswitch"
sysctl net.pfnl.rcvbuf_max=${RMEM_MAX:-212992} net.pfnl.sndbuf_max=${WMEM_MAX:-212992} \
    net.pfnl.least_charge=${LEAST_CHARGE:-960} >/dev/null || fail "limits"
mkdir -p /tmp/scenarios && cp pfnl-scenarios /tmp/scenarios && chmod -R 755 /tmp/scenarios
cd /tmp/scenarios || fail "a place to run them"
./pfnl-scenarios list >names || fail "pfnl-scenarios list"
for name in $(cat names); do
	echo "== $name"
	timeout 20 ./pfnl-scenarios run $name 2>&1 || echo "ended: $?"
done >/tmp/transcript
echo "@@TRANSCRIPT@@"
cat /tmp/transcript
echo "@@END@@"
kldunload openvswitch && kldunload pfnl || fail "kldunload"
exit 0

# The socket scenarios, each in a process of its own; whoever started the machine compares them with Linux's.
. ./lib.sh
kldload ./pfnl.ko || fail "kldload"
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
kldunload pfnl || fail "kldunload"
exit 0

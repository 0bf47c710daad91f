# The socket scenarios; whoever started the machine compares them with Linux's.
. ./lib.sh
kldload ./pfnl.ko || fail "kldload"
mkdir -p /tmp/scenarios && cp pfnl-scenarios /tmp/scenarios && chmod -R 755 /tmp/scenarios
cd /tmp/scenarios && ./pfnl-scenarios all >/tmp/transcript 2>/tmp/errors || fail "pfnl-scenarios: $(cat /tmp/errors)"
echo "@@TRANSCRIPT@@"
cat /tmp/transcript
echo "@@END@@"
kldunload pfnl || fail "kldunload"
exit 0

# What the parts of the test have in common. A step that fails ends the part.
fail() { echo "FAILED: $*"; dmesg | tail -8; exit 1; }
used() { vmstat -m | awk -v type="${1:-pfnl}" '$1 == type { print $2 }'; }
complaints() { dmesg | grep -iE "leak|lock order|panic|WITNESS: |memory modified|not empty"; }

# Waits until a command succeeds, ten seconds at most.
await() {
	for tenth in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
		"$@" >/dev/null 2>&1 && return 0
		sleep 0.3
	done
	return 1
}

# pair NAME ADDRESS: a vnet jail with an epair; prints the end that stays here.
pair() {
	jail -c name=$1 vnet persist allow.socket_af allow.raw_sockets >/dev/null || return 1
	# A flood's answers, and those of the ping after it, are not to be fewer for their number (200 a second).
	jexec $1 sysctl net.inet.icmp.icmplim=0 >/dev/null || return 1
	local here=$(ifconfig epair create) || return 1
	local there=${here%a}b
	ifconfig $there vnet $1
	jexec $1 ifconfig lo0 127.0.0.1/8 up
	jexec $1 ifconfig $there inet $2/24 up
	ifconfig $here up
	echo $here
}

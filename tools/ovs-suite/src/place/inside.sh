#!/bin/bash
# Runs tests of OVS's suite where it may do as it likes with the network: as process 1 of a sandbox, or in a guest.
# Everything it needs to know is in the environment:
#   WORK      an empty folder that is ours, on a file system that can hold sockets
#   PFNL      the folder with pfnl and its preload library
#   SOURCE    OVS's tree
#   PROGRAMS  folders of OVS's programs, separated by colons; PATH has the rest
#   PYTHON    the Python for the suite's servers
#   TESTS     numbers of tests
#   PATIENCE  seconds that OVS's tools wait for an answer; OVS's own 30 if it is not set
set -u
mkdir -p "$WORK/bin" "$WORK/tests" /run/netns
PATH=${PROGRAMS:+$PROGRAMS:}/usr/sbin:/usr/bin:/sbin:/bin
export PATH HOME=/tmp
ip link set lo up

# The suite asks the running kernel's configuration whether connection tracking has timeout policies. The kernel that
# its datapath lives in is pfnl's.
mount -t tmpfs tmpfs /boot && echo CONFIG_NF_CONNTRACK_TIMEOUT=y > "/boot/config-$(uname -r)"

# A host that stays. One that ends is a failure of its own: it is written down, and the rest goes on with another.
export PFNL_SOCKET_PATH=$WORK/pfnl.sock
(
    trap 'kill $host; wait $host; exit' TERM
    while :; do
        "$PFNL/pfnl" serve --socket "$PFNL_SOCKET_PATH" >> "$WORK/pfnl.log" 2>&1 &
        host=$!
        echo $host > "$WORK/host.pid"
        wait $host
        status=$?
        rm "$WORK/unload" 2> /dev/null || echo "suite: the host has ended with status $status" | tee -a "$WORK/pfnl.log"
        sleep 0.1
    done
) &
keeper=$!
for _ in $(seq 100); do
    "$PFNL/pfnl" status --socket "$PFNL_SOCKET_PATH" > /dev/null 2>&1 && break
    sleep 0.1
done

# Whoever speaks netlink with the datapath does so with pfnl's. There is no module to load.
for program in ovs-vswitchd ovs-dpctl ovs-appctl ovstest conntrack; do
    real=$(command -v $program) || continue
    printf '#!/bin/sh\nexec "%s/pfnl" run --socket "%s" -- "%s" "$@"\n' "$PFNL" "$PFNL_SOCKET_PATH" "$real" \
        > "$WORK/bin/$program"
done
# Debian has no ovstest; all that the suite wants of it is this.
[ -e "$WORK/bin/ovstest" ] || cat > "$WORK/bin/ovstest" <<'END'
#!/bin/sh
[ "$*" = "test-netlink-conntrack flush" ] || { echo "ovstest: not built" >&2; exit 1; }
exec conntrack -F
END
# Each test ends with `modprobe -r openvswitch`, which makes Linux forget what outlives datapaths (limits of
# connections, timeout policies): another host does the same.
cat > "$WORK/bin/modprobe" <<END
#!/bin/sh
[ "\$*" = "-r openvswitch" ] || exit 0
touch "$WORK/unload"
kill \$(cat "$WORK/host.pid")
for _ in \$(seq 100); do
    [ ! -e "$WORK/unload" ] && "$PFNL/pfnl" status --socket "$PFNL_SOCKET_PATH" > /dev/null 2>&1 && break
    sleep 0.1
done
exit 0
END
chmod +x "$WORK"/bin/*

# What configure would write.
cat > "$WORK/tests/atconfig" <<END
at_testdir='tests'
abs_builddir='$WORK/tests'
at_srcdir='$SOURCE/tests'
abs_srcdir='$SOURCE/tests'
at_top_srcdir='$SOURCE'
abs_top_srcdir='$SOURCE'
at_top_build_prefix='../'
abs_top_builddir='$WORK'
at_top_builddir='../'
EXEEXT=''
AUTOTEST_PATH='tests'
SHELL=/bin/bash
END
sed -e 's|@HAVE_OPENSSL@|yes|; s|@OPENSSL_SUPPORTS_SNI@|yes|; s|@HAVE_UNBOUND@|yes|; s|@EGREP@|grep -E|; s|@CFLAGS@||' \
    -e "s|@PYTHON3@|$PYTHON|; s|^OVS_CTL_TIMEOUT=30|OVS_CTL_TIMEOUT=${PATIENCE:-30}|" "$SOURCE/tests/atlocal.in" > "$WORK/tests/atlocal"

bash "$SOURCE/tests/system-kmod-testsuite" -C "$WORK/tests" AUTOTEST_PATH="$WORK/bin:$PATH" -d $TESTS < /dev/null 2>&1

"$PFNL/pfnl" status --socket "$PFNL_SOCKET_PATH" | sed 's/^/status: /'
kill $keeper
wait $keeper

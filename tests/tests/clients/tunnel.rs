//! Tunnels: between two hosts, to a Linux kernel's own device, and as ovs-vswitchd makes them.

use anyhow::{Result, ensure};
use pfnl_tests::client::{self, LIMIT, Outcome};
use pfnl_tests::host::Host;
use pfnl_tests::net::Peer;
use pfnl_tests::runner::{OrSkip, Test, skip};
use pfnl_tests::sandbox::{self, quiet};
use pfnl_tests::vswitch::Vswitch;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("tunnel: ping through vxlan, geneve and gre over IPv4", over_ipv4),
    ("tunnel: ping through vxlan, geneve and gre over IPv6", over_ipv6),
    ("tunnel: a Linux kernel's vxlan device at the other end", linux_device),
    ("tunnel: packets without Ethernet, to a Linux kernel's vxlan-gpe device", without_ethernet),
    ("tunnel: flows match and show what came out of a tunnel", flows_show_tunnels),
    ("tunnel: what Linux refuses is refused", refused),
    ("tunnel: ovs-vswitchd makes its tunnels in the datapath", vswitchd),
    ("tunnel: ip link makes other links, and no tunnel that keeps metadata", ip_link),
];

/// The sandbox's end and a peer's: 10.8.0.1 and .2, fd08::1 and ::2 outside; 10.77.0.1 and .2 are for inside.
struct Ends {
    peer: Peer,
}

impl Ends {
    fn new() -> Result<Ends> {
        sandbox::tap_allowed().or_skip()?;
        let peer = Peer::new("far", "u1", "10.8.0.2")?;
        quiet("ip", &["address", "add", "10.8.0.1/24", "dev", "u1"])?;
        Ok(Ends { peer })
    }

    fn with_ipv6(&self) -> Result<()> {
        let enable = "echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6";
        quiet("nsenter", &[&self.peer.enter()[1], "sh", "-c", enable]).or_skip()?;
        self.peer.ip(&["address", "add", "fd08::2/64", "dev", "eth0", "nodad"]).or_skip()?;
        quiet("sh", &["-c", &enable.replace("eth0", "u1")]).or_skip()?;
        quiet("ip", &["address", "add", "fd08::1/64", "dev", "u1", "nodad"]).or_skip()
    }

    /// A datapath at each end, with a tunnel port between them.
    fn datapaths(&self, kind: &str) -> Result<[End<'_>; 2]> {
        let near = End { number: 1, host: Host::serve("near")?, peer: None };
        let far = End { number: 2, host: Host::serve_in(&self.peer.enter(), "far")?, peer: Some(&self.peer) };
        for end in [&near, &far] {
            end.dpctl(&["add-dp", "dp0"])?.succeeds()?;
            let port = format!("t0,type={kind},remote_ip=flow,key=flow");
            end.dpctl(&["add-if", "dp0", &port])?.succeeds()?;
            end.address("dp0")?;
        }
        Ok([near, far])
    }

    fn ping(&self) -> Result<()> {
        self.ping_with(&["-c", "3", "-i", "0.1"])
    }

    fn ping_with(&self, options: &[&str]) -> Result<()> {
        let command = [&["ping", "-n", "-W", "2"], options, &["10.77.0.2"]].concat();
        client::run(&[], &command, Duration::from_secs(30))?.prints(" 0% packet loss")?;
        Ok(())
    }
}

/// A host at one end.
struct End<'a> {
    number: u32,
    host: Host,
    peer: Option<&'a Peer>,
}

impl End<'_> {
    fn dpctl(&self, args: &[&str]) -> Result<Outcome> {
        let prefix = [self.peer.map(Peer::enter).unwrap_or_default(), self.host.client()?].concat();
        client::run(&prefix, &[&["ovs-dpctl"], args].concat(), LIMIT)
    }

    /// Gives an interface the inner address of this end.
    fn address(&self, name: &str) -> Result<()> {
        let address = format!("10.77.0.{}/24", self.number);
        for args in [
            ["address", "add", &address, "dev", name],
            ["link", "set", name, "mtu", "1350"],
            ["link", "set", name, "up", ""],
        ] {
            let args: Vec<_> = args.into_iter().filter(|arg| !arg.is_empty()).collect();
            self.ip(&args)?;
        }
        Ok(())
    }

    /// ip(8) at this end.
    fn ip(&self, args: &[&str]) -> Result<()> {
        self.peer.map_or_else(|| quiet("ip", args), |peer| peer.ip(args))
    }

    /// What the datapath's own port sends goes to the other end, and what comes from there to that port.
    fn connect(&self, tunnel: &str, from: &str) -> Result<()> {
        for key in [
            "eth_type(0x0806),arp()",
            "eth_type(0x0800),ipv4(frag=no)",
            "eth_type(0x0800),ipv4(frag=first)",
            "eth_type(0x0800),ipv4(frag=later)",
        ] {
            let out = format!("in_port(0),eth(),{key}");
            self.dpctl(&["add-flow", "dp0", &out, &format!("set(tunnel({tunnel})),1")])?.succeeds()?;
            self.dpctl(&["add-flow", "dp0", &format!("{from}in_port(1),eth(),{key}"), "0"])?.succeeds()?;
        }
        Ok(())
    }
}

fn over_ipv4() -> Result<()> {
    let ends = Ends::new()?;
    for (kind, flags) in [
        ("vxlan,dst_port=4789", "df|key"),
        ("vxlan,dst_port=8472,exts=gbp", "key|csum"),
        ("geneve,dst_port=6081", "df|key|csum"),
        ("gre", "key"),
        ("gre", "df|key|csum"),
    ] {
        let datapaths = ends.datapaths(kind)?;
        for end in &datapaths {
            let (own, other) = (end.number, 3 - end.number);
            let tunnel = format!("tun_id=0x2a,src=10.8.0.{own},dst=10.8.0.{other},ttl=64,flags({flags})");
            end.connect(&tunnel, "")?;
        }
        ends.ping()?;
        if !flags.contains("df") {
            // In many pieces inside, and each piece of a size that is sent in two outside.
            quiet("ip", &["link", "set", "dp0", "mtu", "1500"])?;
            ends.peer.ip(&["link", "set", "dp0", "mtu", "1500"])?;
            // The ports follow their interfaces a little later.
            let end = Instant::now() + Duration::from_secs(10);
            while quiet("ping", &["-n", "-c", "1", "-W", "1", "-s", "8000", "10.77.0.2"]).is_err()
                && Instant::now() < end
            {}
            ends.ping_with(&["-c", "2", "-i", "0.1", "-s", "8000"])?;
        }
    }
    Ok(())
}

fn over_ipv6() -> Result<()> {
    let ends = Ends::new()?;
    ends.with_ipv6()?;
    for (kind, flags) in [
        ("vxlan,dst_port=4789", "key"),
        ("geneve,dst_port=6081", "key|csum"),
        ("geneve,dst_port=6081", "key"),
        ("ip6gre", "key|csum"),
    ] {
        let datapaths = ends.datapaths(kind)?;
        for end in &datapaths {
            // The far end lets the system choose its address.
            let src = if end.number == 1 { "ipv6_src=fd08::1," } else { "" };
            let tunnel = format!("tun_id=0x2a,{src}ipv6_dst=fd08::{},ttl=64,flags({flags})", 3 - end.number);
            end.connect(&tunnel, "")?;
        }
        let capture = ["tcpdump", "-n", "-l", "-v", "-c", "2", "-i", "u1", "ip6 proto 17 or ip6 proto 47"];
        let mut tcpdump = client::start(&[], &capture)?;
        tcpdump.says("listening on")?;
        ends.ping()?;
        let seen = tcpdump.finish(LIMIT)?;
        seen.prints("hlim 64")?;
        ensure!(!seen.stdout.contains("flowlabel"), "{kind}: a flow label{}", seen.said());
    }
    Ok(())
}

fn linux_device() -> Result<()> {
    let ends = Ends::new()?;
    let peer = &ends.peer;
    let link = [
        "link", "add", "vx", "type", "vxlan", "id", "42", "dstport", "4789", "local", "10.8.0.2", "remote",
        "10.8.0.1",
    ];
    for extra in [&[][..], &["gbp"], &["udpcsum"]] {
        if peer.ip(&[&link, extra].concat()).is_err() {
            return skip("this kernel knows no vxlan");
        }
        peer.ip(&["address", "add", "10.77.0.2/24", "dev", "vx"])?;
        peer.ip(&["link", "set", "vx", "mtu", "1350", "up"])?;
        let near = End { number: 1, host: Host::serve("kernel")?, peer: None };
        near.dpctl(&["add-dp", "dp0"])?.succeeds()?;
        let extensions = if extra == ["gbp"] { ",exts=gbp" } else { "" };
        let port = format!("t0,type=vxlan,remote_ip=flow,key=flow,dst_port=4789{extensions}");
        near.dpctl(&["add-if", "dp0", &port])?.succeeds()?;
        near.address("dp0")?;
        near.connect(
            "tun_id=0x2a,dst=10.8.0.2,ttl=64,flags(key|csum)",
            "tunnel(tun_id=0x2a,src=10.8.0.2,dst=10.8.0.1,ttl=64,flags(+key)),",
        )?;
        ends.ping()?;
        ends.ping_with(&["-c", "2", "-i", "0.1", "-s", "20000"])?;
        peer.ip(&["link", "del", "vx"])?;
    }
    Ok(())
}

fn without_ethernet() -> Result<()> {
    let ends = Ends::new()?;
    let peer = &ends.peer;
    let link = ["link", "add", "vx", "type", "vxlan", "dstport", "4790", "external", "gpe"];
    if peer.ip(&link).is_err() {
        return skip("this kernel knows no vxlan with the generic protocol extension");
    }
    peer.ip(&["address", "add", "10.77.0.2/24", "dev", "vx"])?;
    peer.ip(&["link", "set", "vx", "mtu", "1350", "up"])?;
    peer.ip(&["route", "add", "10.77.0.1/32", "encap", "ip", "id", "7", "dst", "10.8.0.1", "dev", "vx"])?;

    let (mine, others) = ("02:00:00:77:00:01", "02:00:00:77:00:02");
    let mut switch = Vswitch::start("l3")?;
    let address = format!("other-config:hwaddr=\"{mine}\"");
    switch.bridge("br0", &[])?;
    switch.vsctl(&["set", "bridge", "br0", &address])?.succeeds()?;
    let port = ["add-port", "br0", "t0", "--", "set", "interface", "t0", "type=vxlan"];
    let options = ["remote_ip=10.8.0.2", "key=7", "dst_port=4790", "exts=gpe", "packet_type=legacy_l3"]
        .map(|option| format!("options:{option}"));
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    switch.vsctl(&[&port[..], &options].concat())?.succeeds()?;
    quiet("ip", &["address", "add", "10.77.0.1/24", "dev", "br0"])?;
    quiet("ip", &["link", "set", "br0", "mtu", "1350", "up"])?;
    quiet("ip", &["neigh", "replace", "10.77.0.2", "lladdr", others, "dev", "br0"])?;
    switch.ofctl(&["add-flow", "br0", "ip,nw_dst=10.77.0.2,actions=output:t0"])?.succeeds()?;
    let back = format!("ip,nw_dst=10.77.0.1,actions=mod_dl_src:{others},mod_dl_dst:{mine},local");
    switch.ofctl(&["add-flow", "br0", &back])?.succeeds()?;
    ends.ping()?;
    ends.ping_with(&["-c", "2", "-i", "0.1", "-s", "3200"])?;
    // What came had no Ethernet header, and what left has none.
    let flows = switch.host.dpctl(&["dump-flows"])?;
    flows.prints("in_port(2),eth_type(0x0800)")?;
    flows.prints(&format!("actions:push_eth(src={others},dst={mine}),1"))?;
    flows.prints(",pop_eth,2")?;
    switch.exit(true)
}

fn flows_show_tunnels() -> Result<()> {
    let ends = Ends::new()?;
    let [near, far] = ends.datapaths("geneve,dst_port=6081")?;
    let option = "geneve({class=0x102,type=0x80,len=4,0xa})";
    near.connect(&format!("tun_id=0x7,dst=10.8.0.2,tos=0xb8,ttl=33,{option},flags(df|csum|key)"), "")?;
    far.connect(
        "tun_id=0x8,dst=10.8.0.1,ttl=64,flags(key)",
        &format!(
            "tunnel(tun_id=0x7,src=10.8.0.1,dst=10.8.0.2,tos=0xb8,ttl=33,{option},flags(-df+csum+key)),"
        ),
    )?;
    ends.ping()?;
    let flows = far.dpctl(&["dump-flows", "dp0"])?;
    let flows = flows.succeeds()?;
    let matched = "tunnel(tun_id=0x7,src=10.8.0.1,dst=10.8.0.2,tos=0xb8,ttl=33,geneve({class=0x102,type=0x80,len=4,0xa}),flags(-df+csum+key)),in_port(1)";
    let flow = flows
        .lines()
        .find(|flow| flow.contains("0x0800") && flow.contains("frag=no") && flow.contains("in_port(1)"));
    ensure!(flow.is_some_and(|flow| flow.contains(matched) && flow.contains("packets:3")), "{flows}");
    let set = "actions:set(tunnel(tun_id=0x7,dst=10.8.0.2,tos=0xb8,ttl=33,geneve({class=0x102,type=0x80,len=4,0xa}),flags(df|csum|key))),1";
    near.dpctl(&["dump-flows", "dp0"])?.prints(set)?;
    Ok(())
}

fn refused() -> Result<()> {
    let ends = Ends::new()?;
    let [near, _far] = ends.datapaths("vxlan,dst_port=4789")?;
    let add = |port: &str| near.dpctl(&["add-if", "dp0", &format!("{port},remote_ip=flow,key=flow")]);
    near.dpctl(&["show", "dp0"])?.prints("port 1: vxlan_sys_4789 (vxlan: packet_type=ptap)")?;
    // The name that ovs-dpctl gives it is taken; another kind of tunnel on the port; somebody else on the port.
    add("t1,type=vxlan,dst_port=4789")?.fails_with("File exists")?;
    add("t1,type=geneve,dst_port=4789")?.fails_with("Address already in use")?;
    let _socket = std::net::UdpSocket::bind("0.0.0.0:5010")?;
    add("t1,type=vxlan,dst_port=5010")?.fails_with("Address already in use")?;
    add("t1,type=geneve,dst_port=6081")?.succeeds()?;
    // Gone with the port: its name and its UDP port.
    for _ in 0..2 {
        near.dpctl(&["del-if", "dp0", "vxlan_sys_4789"])?.succeeds()?;
        std::net::UdpSocket::bind("0.0.0.0:4789")?;
        add("t0,type=vxlan,dst_port=4789")?.succeeds()?;
    }
    Ok(())
}

/// Ends with the test.
struct Vswitchd<'a> {
    host: &'a Host,
    dir: String,
}

impl Vswitchd<'_> {
    fn start(host: &Host) -> Result<Vswitchd<'_>> {
        let dir = format!("{}/vswitchd", sandbox::SCRATCH);
        std::fs::create_dir_all(&dir)?;
        let vswitchd = Vswitchd { host, dir };
        let d = &vswitchd.dir;
        let schema = "/usr/share/openvswitch/vswitch.ovsschema";
        if !std::fs::exists(schema)? {
            return skip("openvswitch-switch is missing");
        }
        vswitchd.tool(&["ovsdb-tool", "create", &format!("{d}/conf.db"), schema])?.succeeds()?;
        let (remote, log) = (format!("--remote=punix:{d}/db.sock"), format!("--log-file={d}/ovsdb.log"));
        let pid = format!("--pidfile={d}/ovsdb.pid");
        vswitchd
            .tool(&["ovsdb-server", &format!("{d}/conf.db"), &remote, &pid, "--detach", &log])?
            .succeeds()?;
        let (pid, log) = (format!("--pidfile={d}/vswitchd.pid"), format!("--log-file={d}/vswitchd.log"));
        let (db, control) = (format!("unix:{d}/db.sock"), format!("--unixctl={d}/vswitchd.ctl"));
        vswitchd.tool(&["ovs-vswitchd", &db, &pid, "--detach", &log, &control])?.succeeds()?;
        Ok(vswitchd)
    }

    fn tool(&self, command: &[&str]) -> Result<Outcome> {
        let set = ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"]
            .map(|name| format!("{name}={}", self.dir));
        let prefix = [self.host.client()?, vec!["env".to_owned()], set.to_vec()].concat();
        client::run(&prefix, command, LIMIT)
    }

    fn vsctl(&self, args: &[&str]) -> Result<()> {
        let db = format!("--db=unix:{}/db.sock", self.dir);
        self.tool(&[&["ovs-vsctl", &db, "--timeout=10"], args].concat())?.succeeds()?;
        Ok(())
    }
}

impl Drop for Vswitchd<'_> {
    fn drop(&mut self) {
        for pid in ["vswitchd.pid", "ovsdb.pid"] {
            if let Ok(pid) = std::fs::read_to_string(format!("{}/{pid}", self.dir)) {
                let _ = quiet("kill", &[pid.trim()]);
            }
        }
        sleep(Duration::from_millis(200));
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn vswitchd() -> Result<()> {
    let ends = Ends::new()?;
    let far = End { number: 2, host: Host::serve_in(&ends.peer.enter(), "far")?, peer: Some(&ends.peer) };
    let host = Host::serve("near")?;
    let vswitchd = Vswitchd::start(&host)?;
    vswitchd.vsctl(&["add-br", "br0"])?;
    quiet("ip", &["address", "add", "10.77.0.1/24", "dev", "br0"])?;
    quiet("ip", &["link", "set", "br0", "mtu", "1350", "up"])?;
    for (kind, dst_port, shown, options, metadata) in [
        ("vxlan", ",dst_port=4789", "vxlan_sys_4789 (vxlan", &[][..], ""),
        ("geneve", ",dst_port=6081", "genev_sys_6081 (geneve", &[], ""),
        ("gre", "", "gre_sys (gre", &[], ""),
        (
            "erspan",
            "",
            "erspan_sys (erspan",
            &["options:erspan_ver=1", "options:erspan_idx=7"],
            "erspan(ver=1,idx=0x7),",
        ),
        (
            "erspan",
            "",
            "erspan_sys (erspan",
            &["options:erspan_ver=2", "options:erspan_dir=1", "options:erspan_hwid=5"],
            "erspan(ver=2,dir=1,hwid=0x5),",
        ),
    ] {
        far.dpctl(&["add-dp", "dp0"])?.succeeds()?;
        far.dpctl(&["add-if", "dp0", &format!("t0,type={kind},remote_ip=flow,key=flow{dst_port}")])?
            .succeeds()?;
        far.address("dp0")?;
        far.connect(&format!("tun_id=0x2a,dst=10.8.0.1,ttl=64,{metadata}flags(key)"), "")?;
        let kind = format!("type={kind}");
        let port = ["add-port", "br0", "t0", "--", "set", "interface", "t0", &kind];
        let remote = ["options:remote_ip=10.8.0.2", "options:key=42"];
        vswitchd.vsctl(&[&port[..], &remote, options].concat())?;
        ends.ping()?;
        host.dpctl(&["show"])?.prints(shown)?;
        host.dpctl(&["dump-flows"])?.prints("tunnel(tun_id=0x2a,src=10.8.0.2,dst=10.8.0.1,")?;
        // The machine's kernel has no such device, whatever it can do.
        let name = shown.split(' ').next().unwrap_or_default();
        ensure!(quiet("ip", &["link", "show", name]).is_err(), "{name} is a device");
        vswitchd.vsctl(&["del-port", "br0", "t0"])?;
        far.dpctl(&["del-dp", "dp0"])?.succeeds()?;
        // The next one is not to be taken for what is remembered of this.
        let end = Instant::now() + Duration::from_secs(5);
        while host.dpctl(&["show"])?.succeeds()?.contains(name) && Instant::now() < end {
            sleep(Duration::from_millis(50));
        }
        quiet("ip", &["neigh", "flush", "dev", "br0"])?;
    }
    Ok(())
}

fn ip_link() -> Result<()> {
    let host = Host::serve("iplink")?;
    let external = ["ip", "link", "add", "vx0", "type", "vxlan", "dstport", "4799", "external"];
    host.run(&external)?.fails_with("Unknown device type")?;
    host.run(&["ip", "link", "add", "gn0", "type", "geneve", "external"])?
        .fails_with("Unknown device type")?;
    host.run(&["ip", "link", "add", "va", "type", "veth", "peer", "name", "vb"])?.succeeds()?;
    host.run(&["ip", "link", "set", "va", "up"])?.succeeds()?;
    host.run(&["ip", "-br", "link", "show", "va"])?.prints("va@vb")?;
    host.run(&["ip", "link", "del", "va"])?.succeeds()?;
    // Where the machine can, it makes both: the one above too, when it is asked directly.
    if client::run(&[], &external, LIMIT)?.succeeds().is_ok() {
        quiet("ip", &["link", "del", "vx0"])?;
        host.run(&["ip", "link", "add", "vx0", "type", "vxlan", "id", "5", "dstport", "4799"])?.succeeds()?;
        quiet("ip", &["link", "del", "vx0"])?;
    }
    Ok(())
}

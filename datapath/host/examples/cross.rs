//! Joins two interfaces as a cable would, by ports: what forwarding costs without a datapath in between.
//!
//! `cargo run --release -p pfnl-datapath-host --example cross -- eth1 eth2 [seconds]`; as root.

use pfnl_datapath::port::Port;
use pfnl_datapath_host::{Frame, Ports};
use std::sync::Arc;
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (a, b, seconds) = match &args[..] {
        [a, b] => (a, b, u64::MAX),
        [a, b, seconds] => (a, b, seconds.parse()?),
        _ => return Err("usage: cross INTERFACE INTERFACE [SECONDS]".into()),
    };
    let ports = Ports::start(1)?;
    let open = |name: &str| -> Result<Arc<dyn Port<Frame>>, String> {
        ports.open_netdev(name).map(Arc::from).map_err(|error| format!("{name}: {error}"))
    };
    let (a, b) = (open(a)?, open(b)?);
    for (from, to) in [(&a, &b), (&b, &a)] {
        let to = Arc::clone(to);
        ports.attach(from.ifindex(), move |frame| to.send(frame))?;
    }
    std::thread::sleep(Duration::from_secs(seconds));
    println!("{:?}\n{:?}", a.stats(), b.stats());
    Ok(())
}

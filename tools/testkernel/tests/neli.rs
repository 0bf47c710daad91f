//! Somebody else's client, unmodified, in a process of its own: the neli crate against a family of this test.
//!
//! The test program starts itself under the preload library and there plays the client ([`client`]).

mod common;

use common::build_preload;
use neli::consts::genl::{Cmd, NlAttrType};
use neli::consts::nl::NlmF;
use neli::consts::socket::NlFamily;
use neli::genl::{AttrTypeBuilder, Genlmsghdr, GenlmsghdrBuilder, NlattrBuilder};
use neli::neli_enum;
use neli::nl::{NlPayload, Nlmsghdr};
use neli::router::synchronous::NlRouter;
use neli::types::GenlBuffer;
use neli::utils::Groups;
use pfnl_testkernel::{Errno, Error, Family, Fault, Kernel, view};
use std::process::Output;

pfnl_proto::attributes! {
    /// Attributes of the family that neli is tested against.
    pub mod echo: "echo_attr" {
        /// What is to come back.
        1 MSG msg: nul_string(100);
        /// How often it came.
        2 COUNT count: u32;
    }
}

const ECHO: u8 = 1;

/// neli's view of the command.
#[allow(missing_docs, reason = "the macro makes undocumented items")]
mod names {
    use super::neli_enum;
    #[neli_enum(serialized_type = "u8")]
    pub enum Command {
        Unspec = 0,
        Echo = 1,
    }
    #[neli_enum(serialized_type = "u16")]
    pub enum Attribute {
        Unspec = 0,
        Msg = 1,
        Count = 2,
    }
}
use names::{Attribute, Command};
impl Cmd for Command {}
impl NlAttrType for Attribute {}

/// What a user of neli writes: find the family, ask, read.
fn ask(text: &str) -> Result<String, String> {
    let (router, _multicast) =
        NlRouter::connect(NlFamily::Generic, None, Groups::empty()).map_err(|error| error.to_string())?;
    let family = router.resolve_genl_family("echo").map_err(|error| format!("resolve: {error}"))?;
    let kind = AttrTypeBuilder::default().nla_type(Attribute::Msg).build().unwrap();
    let attribute = NlattrBuilder::default().nla_type(kind).nla_payload(text).build().unwrap();
    let request = GenlmsghdrBuilder::<Command, Attribute>::default()
        .cmd(Command::Echo)
        .version(1)
        .attrs(std::iter::once(attribute).collect::<GenlBuffer<_, _>>())
        .build()
        .unwrap();
    let answers = router
        .send::<_, _, u16, Genlmsghdr<Command, Attribute>>(family, NlmF::ACK, NlPayload::Payload(request))
        .map_err(|error| format!("send: {error}"))?;
    let mut found = Err("nothing came".to_owned());
    for answer in answers {
        let answer: Nlmsghdr<u16, Genlmsghdr<Command, Attribute>> =
            answer.map_err(|error| format!("answer: {error}"))?;
        if let NlPayload::Payload(payload) = answer.nl_payload() {
            let attributes = payload.attrs().get_attr_handle();
            let text = attributes.get_attr_payload_as_with_len::<String>(Attribute::Msg).unwrap();
            let count = attributes.get_attr_payload_as::<u32>(Attribute::Count).unwrap();
            found = Ok(format!("{text} {count}"));
        }
    }
    found
}

/// The client, in its own process.
#[test]
fn client() {
    if let Ok(text) = std::env::var("NELI_SAYS") {
        println!("\nanswer: {:?}", ask(&text));
    }
}

fn kernel() -> Kernel {
    let kernel = Kernel::new().unwrap();
    let command = pfnl_testkernel::Command::new(ECHO, "ECHO").run(|context| {
        let asked = view!(echo, context.request)?;
        let text = asked.0.need(echo::MSG, asked.msg())?;
        if text == b"no" {
            return Err(Error::new(Errno::EACCES).text("not that word"));
        }
        context.reply(ECHO, |w| {
            echo::Put(w).msg(text).count(7);
        })
    });
    kernel.register(Family::new("echo", 1, &echo::TABLE).command(command)).unwrap();
    kernel
}

/// What neli makes of it, in a process of its own.
fn says(kernel: &Kernel, text: &str) -> String {
    let server = kernel.serve().unwrap();
    let mut command = server.command(std::env::current_exe().unwrap()).unwrap();
    command.args(["--exact", "client", "--nocapture", "--test-threads=1"]).env("NELI_SAYS", text);
    let Output { stdout, stderr, status } = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{out}{err}");
    let answer = out.lines().find_map(|line| line.strip_prefix("answer: "));
    answer.unwrap_or_else(|| panic!("{out}{err}")).to_owned()
}

#[test]
fn neli_talks_to_a_family_of_this_test() {
    build_preload();
    let kernel = kernel();
    assert_eq!(says(&kernel, "hello"), "Ok(\"hello 7\")");
    let seen = kernel.requests();
    assert_eq!(seen.iter().map(|seen| seen.header().kind == 16).collect::<Vec<_>>(), [true, false]);
    assert!(seen.iter().all(|seen| seen.pid != std::process::id()));
    assert!(kernel.transcript().contains("> echo ECHO REQUEST|ACK"), "{}", kernel.transcript());

    // How does neli tell its user of errors, the family's and the machine's?
    let refused = says(&kernel, "no");
    assert!(refused.starts_with("Err(") && refused.contains("error: -13,"), "{refused}");
    kernel.inject("echo", ECHO, Fault::Errno(Errno::EBUSY));
    let busy = says(&kernel, "hello");
    assert!(busy.starts_with("Err(") && busy.contains("error: -16,"), "{busy}");
    assert_eq!(kernel.pending(), 0);
    // And of a family that is not there?
    kernel.unregister("echo").unwrap();
    let gone = says(&kernel, "hello");
    assert!(gone.starts_with("Err(\"resolve:"), "{gone}");
}

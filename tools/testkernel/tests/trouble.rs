//! Trouble as a program in a process of its own sees it: an overrun that leaves nothing in the queue.

mod common;

use common::build_preload;
use pfnl_testkernel::{Command, Family, Fault, Kernel};

pfnl_proto::attributes! {
    /// Attributes of a family without any to speak of.
    pub mod noise: "noise_attr" {
        /// What is heard.
        1 WORD word: nul_string(20);
    }
}

/// Asks, and says what poll(2), epoll(7), recv(2) and SO_ERROR say.
const PROGRAM: &str = r#"
import select, socket, struct, sys
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16)
s.bind((0, 0))
s.setblocking(False)
p = select.poll()
p.register(s, int(sys.argv[2]))
e = select.epoll()
e.register(s, int(sys.argv[2]))
def look(what):
    print(what, [event for _, event in p.poll(0)], [event for _, event in e.poll(0)])
def ask(command=1):
    s.send(struct.pack("=IHHIIBBH", 20, int(sys.argv[1]), 1, 1, 0, command, 1, 0))
look("before")
ask()
look("error")
print("SO_ERROR", s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
look("taken")
ask(2)
look("answer")
print("answer", len(s.recv(100)))
ask()
look("error")
for _ in range(2):
    try:
        s.recv(100)
    except OSError as error:
        print("recv", error.errno)
look("after")
"#;

fn saw(events: i32) -> String {
    let kernel = Kernel::new().unwrap();
    let command = |number, name| {
        Command::new(number, name).run(move |context| {
            context.reply(number, |w| {
                noise::Put(w).word(b"boo");
            })
        })
    };
    let family =
        Family::new("noise", 1, &noise::TABLE).command(command(1, "SHOUT")).command(command(2, "SPEAK"));
    let id = kernel.register(family).unwrap();
    kernel.inject("noise", 1, Fault::Overrun);
    kernel.inject("noise", 1, Fault::Overrun);
    let server = kernel.serve().unwrap();
    let mut command = server.command("python3").unwrap();
    command.args(["-c", PROGRAM, &id.to_string(), &events.to_string()]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// POLLERR is 8, POLLIN 1. Nothing is queued when the error comes, so there is nothing to read, and nothing stays behind.
#[test]
fn an_error_alone_is_no_message() {
    build_preload();
    let expected = "before [] []\nerror [8] [8]\nSO_ERROR 105\ntaken [] []\nanswer [1] [1]\nanswer 28\n\
                    error [8] [8]\nrecv 105\nrecv 11\nafter [] []\n";
    assert_eq!(saw(1), expected);
}

/// Who does not wait for something to read is told of errors all the same.
#[test]
fn an_error_needs_no_invitation() {
    build_preload();
    let expected = "before [] []\nerror [8] [8]\nSO_ERROR 105\ntaken [] []\nanswer [] []\nanswer 28\n\
                    error [8] [8]\nrecv 105\nrecv 11\nafter [] []\n";
    assert_eq!(saw(0), expected);
}

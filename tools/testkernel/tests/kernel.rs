//! The test kernel as its users see it: families, notifications, trouble.

use pfnl_proto::nlctrl::{self, ctrl};
use pfnl_proto::{Level, genl};
use pfnl_sock::Credentials;
use pfnl_testkernel::{Client, Command, Errno, Failure, Family, Fault, Kernel, view};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pfnl_proto::fixed! {
    /// The family's header.
    pub struct Place {
        /// Shelf.
        pub shelf: u32,
    }
}

pfnl_proto::attributes! {
    /// Attributes of a family.
    pub mod book: "book_attr" {
        /// Title.
        1 TITLE title: nul_string(40);
        /// Pages.
        2 PAGES pages: u32 [Policy::Uint(4, 1, 10_000)];
    }
}

const ADD: u8 = 1;
const GET: u8 = 2;

/// A kernel with a family that counts what is added and lists as many books.
fn library() -> (Kernel, Arc<AtomicU32>) {
    let kernel = Kernel::new().unwrap();
    let added = Arc::new(AtomicU32::new(0));
    let (count, listed) = (Arc::clone(&added), Arc::clone(&added));
    let family = Family::new("library", 1, &book::TABLE)
        .header::<Place>()
        .group("arrivals")
        .command(Command::new(ADD, "ADD").admin().strict().run(move |context| {
            let place: Place = context.request.user_header()?;
            let asked = view!(book, context.request)?;
            let title = asked.0.need(book::TITLE, asked.title())?;
            count.fetch_add(1, Ordering::SeqCst);
            context.notify(0, ADD, |w| {
                w.raw_fixed(&place);
                book::Put(w).title(title);
            })
        }))
        .command(Command::new(GET, "GET").dump(move |_, records| {
            for number in 0..listed.load(Ordering::SeqCst) {
                records.add(|w| {
                    w.raw_fixed(&Place { shelf: number });
                    book::Put(w).title(b"a book").pages(number + 1);
                });
            }
            Ok(())
        }));
    kernel.register(family).unwrap();
    (kernel, added)
}

fn add(client: &mut Client, title: &[u8]) -> Result<usize, Failure> {
    let answers = client.call("library", ADD, |w| {
        w.raw_fixed(&Place { shelf: 3 });
        book::Put(w).title(title).pages(100);
    })?;
    Ok(answers.len())
}

fn list(client: &mut Client) -> Result<usize, Failure> {
    let dump = client.dump("library", GET, |w| {
        w.raw_fixed(&Place { shelf: 0 });
    })?;
    for (number, message) in (0u32..).zip(&dump) {
        assert_eq!((message.user_header(), message.genl().cmd), (&number.to_ne_bytes()[..], GET));
        let view = book::View::parse(message.attributes(), Level::Strict).unwrap();
        assert_eq!((view.title(), view.pages()), (Some(&b"a book"[..]), Some(number + 1)));
    }
    Ok(dump.len())
}

/// The group's number, from nlctrl.
fn arrivals(client: &mut Client) -> u32 {
    let answer = client.call(nlctrl::NAME, nlctrl::cmd::GETFAMILY, |w| {
        ctrl::Put(w).family_name(b"library");
    });
    let answer = answer.unwrap();
    let view = ctrl::View::parse(answer[0].attributes(), Level::Liberal).unwrap();
    let group = view.mcast_groups().unwrap().next().unwrap();
    nlctrl::group::View::parse(group.attrs(), Level::Liberal).unwrap().id().unwrap()
}

#[test]
fn a_family_answers_checks_and_dumps_in_blocks() {
    let (kernel, added) = library();
    let mut client = kernel.client().unwrap();
    assert_eq!(add(&mut client, b"Emma"), Ok(0));
    let too_long = add(&mut client, &[b'x'; 50]).unwrap_err();
    assert!(matches!(too_long, Failure::Refused(Errno::EINVAL, Some(text)) if text.contains("policy")));
    let nobody = Credentials { pid: 1, uid: 99, gid: 99, ..Credentials::default() };
    let mut nobody = kernel.client_as(nobody).unwrap();
    assert_eq!(add(&mut nobody, b"Emma"), Err(Failure::Refused(Errno::EPERM, None)));
    assert_eq!(added.swap(5000, Ordering::SeqCst), 1);
    assert_eq!(list(&mut nobody), Ok(5000));
    assert_eq!(
        client.call("library", 77, |w| {
            w.raw(&[0; 4]);
        }),
        Err(Failure::Refused(Errno::EOPNOTSUPP, None))
    );
    assert_eq!(client.call("nosuch", 1, |_| {}), Err(Failure::NoFamily));
}

#[test]
fn faults_hit_the_request_they_are_meant_for_once() {
    let (kernel, added) = library();
    let mut client = kernel.client().unwrap();
    kernel.inject("library", ADD, Fault::Errno(Errno::ENOSPC));
    kernel.inject("library", ADD, Fault::Silence);
    kernel.inject("library", ADD, Fault::Overrun);
    kernel.inject("library", GET, Fault::Interrupt);
    kernel.inject_any(Fault::Errno(Errno::EINTR));
    assert_eq!(kernel.pending(), 5);

    assert_eq!(add(&mut client, b"1"), Err(Failure::Refused(Errno::ENOSPC, None)));
    assert_eq!(added.load(Ordering::SeqCst), 0);
    assert_eq!(add(&mut client, b"2"), Err(Failure::Silence));
    assert_eq!(added.load(Ordering::SeqCst), 1);
    assert_eq!(add(&mut client, b"3"), Err(Failure::Socket(Errno::ENOBUFS)));
    assert_eq!(added.load(Ordering::SeqCst), 2);
    assert_eq!(list(&mut client), Err(Failure::Interrupted));
    assert_eq!(add(&mut client, b"4"), Err(Failure::Refused(Errno::EINTR, None)));
    assert_eq!(kernel.pending(), 0);
    assert_eq!(add(&mut client, b"5"), Ok(0));
    assert_eq!(list(&mut client), Ok(3));

    let seen = kernel.requests();
    let faults: Vec<_> = seen.iter().map(|seen| (seen.genl().cmd, seen.fault.is_some())).collect();
    assert_eq!(
        faults,
        [(ADD, true), (ADD, true), (ADD, true), (GET, true), (ADD, true), (ADD, false), (GET, false)]
    );
    assert!(seen.iter().all(|seen| seen.portid == client.portid() && seen.pid == std::process::id()));
}

#[test]
fn listeners_hear_of_what_happens_and_can_miss_it() {
    let (kernel, _) = library();
    let mut client = kernel.client().unwrap();
    let mut listener = kernel.client().unwrap();
    let group = arrivals(&mut listener);
    listener.join(group).unwrap();
    assert_eq!(listener.join(5000), Err(Errno::EINVAL));
    let patience = Duration::from_secs(5);

    add(&mut client, b"Emma").unwrap();
    assert!(listener.recv(patience).unwrap().unwrap().windows(5).any(|bytes| bytes == b"Emma\0"));
    let put = |w: &mut pfnl_proto::Writer<'_>| {
        w.raw_fixed(&Place { shelf: 1 });
        book::Put(w).title(b"Ulysses");
    };
    kernel.notify("library", 0, ADD, put).unwrap();
    assert!(listener.recv(patience).unwrap().unwrap().windows(8).any(|bytes| bytes == b"Ulysses\0"));
    kernel.overrun_next_notification();
    kernel.notify("library", 0, ADD, put).unwrap();
    assert_eq!(listener.recv(patience), Err(Errno::ENOBUFS));
    kernel.notify("library", 0, ADD, put).unwrap();
    assert!(listener.recv(patience).unwrap().is_some());
    assert_eq!(listener.recv(Duration::from_millis(10)), Ok(None));
    assert_eq!(kernel.notify("nosuch", 0, ADD, put), Err(Errno::ENOENT));
}

#[test]
fn families_come_and_go() {
    let kernel = Kernel::new().unwrap();
    let listener = kernel.client().unwrap();
    listener.join(u32::from(genl::GENL_ID_CTRL)).unwrap();
    let id = kernel.register(Family::new("fleeting", 1, &book::TABLE)).unwrap();
    assert_eq!(kernel.register(Family::new("fleeting", 1, &book::TABLE)), Err(Errno::EEXIST));
    assert_eq!(kernel.register(Family::new("a name that is too long", 1, &book::TABLE)), Err(Errno::EINVAL));
    kernel.unregister("fleeting").unwrap();
    assert_eq!(kernel.unregister("fleeting"), Err(Errno::ENOENT));
    assert_eq!(
        kernel.transcript().lines().filter(|line| line.starts_with('<')).collect::<Vec<_>>(),
        ["< nlctrl NEWFAMILY seq 0", "< nlctrl DELFAMILY seq 0"]
    );
    assert!(id >= genl::GENL_START_ALLOC);
}

#[test]
fn a_transcript_reads_like_this() {
    let (kernel, _) = library();
    let mut client = kernel.client().unwrap();
    add(&mut client, b"Emma").unwrap();
    kernel.inject("library", ADD, Fault::Silence);
    add(&mut client, b"Emma").unwrap_err();
    let wanted = "\
> library ADD REQUEST|ACK seq 1
    shelf 3
    title \"Emma\"
    pages 100
< ACK CAPPED seq 1
> library ADD REQUEST|ACK seq 2
    shelf 3
    title \"Emma\"
    pages 100
< (lost) ACK CAPPED seq 2
";
    assert_eq!(kernel.transcript(), wanted);
}

//! Two answers to one request.

use crate::blank;
use crate::families::Families;
use crate::run::Answer;
use pfnl_proto::Fixed;
use pfnl_proto::msg::{Header, NLMSG_DONE, NLMSG_ERROR, NLMSG_HDRLEN};

/// How two answers stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The same bytes.
    Equal,
    /// The same errno, another extended acknowledgement.
    Extack,
    /// The same errno, other messages beside the acknowledgement.
    Content,
    /// Another errno.
    Errno,
    /// Both another errno and other messages.
    Both,
}

/// An answer without what may differ, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Everything, blanked.
    pub messages: Vec<Vec<u8>>,
}

impl Parts {
    /// Of an answer as it came.
    pub fn of(answer: &Answer, families: &Families) -> Parts {
        Parts { messages: blank::messages(answer, families) }
    }

    /// Of what a probe saw.
    pub fn of_text(lines: &[String]) -> Parts {
        Parts { messages: lines.iter().map(|line| line.clone().into_bytes()).collect() }
    }

    /// What a probe saw.
    pub fn text(&self) -> Vec<String> {
        self.messages.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    }

    fn ends(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.messages.iter().filter(|bytes| is_end(bytes))
    }

    fn content(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.messages.iter().filter(|bytes| !is_end(bytes))
    }

    /// The errno of each acknowledgement and each end of a dump.
    pub fn errnos(&self) -> Vec<i32> {
        self.ends().filter_map(|bytes| i32::read(bytes.get(NLMSG_HDRLEN..)?)).collect()
    }

    /// How this stands to what is right.
    pub fn verdict(&self, right: &Parts) -> Verdict {
        let errno = self.errnos() != right.errnos();
        let content = !self.content().eq(right.content());
        match (errno, content) {
            (true, true) => Verdict::Both,
            (true, false) => Verdict::Errno,
            (false, true) => Verdict::Content,
            (false, false) if !self.ends().eq(right.ends()) => Verdict::Extack,
            // The same messages, in another order.
            (false, false) if self.messages != right.messages => Verdict::Content,
            (false, false) => Verdict::Equal,
        }
    }
}

fn is_end(bytes: &[u8]) -> bool {
    Header::read(bytes).is_some_and(|header| matches!(header.kind, NLMSG_ERROR | NLMSG_DONE))
}

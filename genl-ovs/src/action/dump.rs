//! The attributes that a dump will show, as they are put together.

use alloc::vec::Vec;
use pfnl_platform::{Result, try_push};
use pfnl_proto::{Errno, Writer};

/// The longest payload of one attribute: a longer list could not be given back.
const MAX_LEN: usize = u16::MAX as usize - 4;

/// A writer whose nests are closed some time after they were opened.
#[derive(Default)]
pub(super) struct Dump {
    bytes: Vec<u8>,
    /// Where the open nests start.
    open: Vec<usize>,
}

impl Dump {
    pub fn attr(&mut self, number: u16, payload: &[u8]) -> Result<()> {
        Writer::with_limit(&mut self.bytes, MAX_LEN).bytes(number, payload).result()
    }

    /// Text, with a NUL at its end.
    pub fn text(&mut self, number: u16, text: &[u8]) -> Result<()> {
        Writer::with_limit(&mut self.bytes, MAX_LEN).string(number, text).result()
    }

    /// Attributes as `fill` writes them.
    pub fn write(&mut self, fill: impl FnOnce(&mut Writer<'_>)) -> Result<()> {
        let mut writer = Writer::with_limit(&mut self.bytes, MAX_LEN);
        fill(&mut writer);
        writer.result()
    }

    /// What follows is inside a nest, until it is closed.
    pub fn open(&mut self, number: u16) -> Result<()> {
        try_push(&mut self.open, self.bytes.len())?;
        self.attr(number, &[])
    }

    pub fn close(&mut self) -> Result<()> {
        let start = self.open.pop().ok_or(Errno::EINVAL)?;
        let len = u16::try_from(self.bytes.len().saturating_sub(start)).map_err(|_| Errno::EMSGSIZE)?;
        let header = self.bytes.get_mut(start..).and_then(|nest| nest.first_chunk_mut());
        *header.ok_or(Errno::EINVAL)? = len.to_ne_bytes();
        Ok(())
    }

    /// How many bytes there are so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

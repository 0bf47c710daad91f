//! Dumps: answers of any length, made block by block as the user reads them.

use crate::registry::FamilyInfo;
use pfnl_proto::msg::{Header, NLM_F_MULTI};
use pfnl_proto::{Errno, Error, Writer};

/// What a dump has to give yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There may be more.
    More,
    /// That was all; the end stands in a block of its own, as with most families of Linux.
    Done,
    /// That was all, and the end may stand behind the last record, as with nlctrl's list of families.
    End,
}

/// A dump in progress: a cursor that knows how to go on.
pub trait Dump: Send {
    /// Writes the next records, as many as fit. A block without records ends the dump, whatever is returned.
    ///
    /// # Errors
    /// Ends the dump; the errno stands in its `NLMSG_DONE`.
    fn next(&mut self, block: &mut DumpBlock<'_, '_>) -> Result<Progress, Error>;

    /// Flags of every message of the dump, its end too: `NLM_F_DUMP_FILTERED`.
    fn flags(&self) -> u16 {
        0
    }
}

/// The block that a dump writes to.
pub struct DumpBlock<'w, 'b> {
    pub(crate) writer: &'w mut Writer<'b>,
    pub(crate) family: FamilyInfo,
    pub(crate) seq: u32,
    pub(crate) portid: u32,
    pub(crate) flags: u16,
}

impl<'w, 'b> DumpBlock<'w, 'b> {
    /// A block for a dump whose domain is in another module of a kernel: its records carry this number and portid.
    pub fn new(writer: &'w mut Writer<'b>, family: FamilyInfo, seq: u32, portid: u32) -> DumpBlock<'w, 'b> {
        DumpBlock { writer, family, seq, portid, flags: 0 }
    }

    /// With [`Dump::flags`].
    pub fn with_flags(self, flags: u16) -> DumpBlock<'w, 'b> {
        DumpBlock { flags, ..self }
    }
}

impl DumpBlock<'_, '_> {
    /// The number and portid that its records carry.
    pub fn names(&self) -> (u32, u32) {
        (self.seq, self.portid)
    }

    /// The family that its records are of.
    pub fn family(&self) -> FamilyInfo {
        self.family
    }

    /// How many bytes there is room for.
    pub fn room(&self) -> usize {
        self.writer.room()
    }

    /// Adds records that were made elsewhere.
    ///
    /// # Errors
    /// `EMSGSIZE`, `ENOMEM`; nothing is added then.
    pub fn records(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mark = self.writer.mark();
        self.writer.raw(bytes).result().map_err(|errno| {
            self.writer.rewind(mark);
            errno.into()
        })
    }

    /// Adds a record: headers, then what `fill` writes. `Ok(false)`: it did not fit and was taken back; write it again
    /// into the next block.
    ///
    /// # Errors
    /// `EMSGSIZE`: it does not fit an empty block either. `ENOMEM`, and what `fill` failed with.
    pub fn record(&mut self, cmd: u8, fill: impl FnOnce(&mut Writer<'_>)) -> Result<bool, Error> {
        let (family, flags, seq, portid) = (self.family, NLM_F_MULTI | self.flags, self.seq, self.portid);
        self.put(|w| family.write(w, cmd, flags, seq, portid, fill))
    }

    /// As [`DumpBlock::record`], of a protocol without generic netlink's header: a message of type `kind`, its payload
    /// written by `fill`.
    ///
    /// # Errors
    /// As [`DumpBlock::record`].
    pub fn message(&mut self, kind: u16, fill: impl FnOnce(&mut Writer<'_>)) -> Result<bool, Error> {
        let flags = NLM_F_MULTI | self.flags;
        let header = Header { len: 0, kind, flags, seq: self.seq, portid: self.portid };
        self.put(|w| w.message(header, fill).result())
    }

    fn put(&mut self, write: impl FnOnce(&mut Writer<'_>) -> Result<(), Errno>) -> Result<bool, Error> {
        let mark = self.writer.mark();
        let was_empty = self.writer.is_empty();
        match write(self.writer) {
            Ok(()) => Ok(true),
            Err(Errno::EMSGSIZE) if !was_empty => {
                self.writer.rewind(mark);
                Ok(false)
            }
            Err(errno) => {
                self.writer.rewind(mark);
                Err(errno.into())
            }
        }
    }

    /// Whether nothing was written to it yet.
    pub fn is_empty(&self) -> bool {
        self.writer.is_empty()
    }
}

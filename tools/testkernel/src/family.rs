//! Families made of closures.

use pfnl_decode as decode;
use pfnl_platform::{Errno, Shared};
use pfnl_proto::{Error, Layout, Level, Table, Writer, genl};
use pfnl_sock::{Context, Dump, DumpBlock, FamilyDef, Op, Progress, Request};

type Run = Box<dyn Fn(&mut Context<'_>) -> Result<(), Error> + Send + Sync>;
type Start = Box<dyn Fn(&Request<'_>, &mut Records) -> Result<(), Error> + Send + Sync>;

/// A family to be registered.
pub struct Family {
    name: String,
    version: u8,
    table: &'static Table,
    header: Option<&'static Layout>,
    header_len: usize,
    commands: Vec<Command>,
    groups: Vec<String>,
}

/// One of its commands.
pub struct Command {
    number: u8,
    name: String,
    flags: u32,
    level: Level,
    run: Option<Run>,
    dump: Option<Start>,
}

impl Family {
    /// A family without commands. `table` is of a module that [`attributes!`](pfnl_proto::attributes) made.
    pub fn new(name: &str, version: u8, table: &'static Table) -> Family {
        Family {
            name: name.to_owned(),
            version,
            table,
            header: None,
            header_len: 0,
            commands: Vec::new(),
            groups: Vec::new(),
        }
    }

    /// With a command.
    #[must_use]
    pub fn command(mut self, command: Command) -> Family {
        self.commands.push(command);
        self
    }

    /// With a multicast group; handlers name it by its index, from 0.
    #[must_use]
    pub fn group(mut self, name: &str) -> Family {
        self.groups.push(name.to_owned());
        self
    }

    /// With a header of its own before the attributes: a structure that [`fixed!`](pfnl_proto::fixed) made.
    #[must_use]
    pub fn header<T: pfnl_proto::Fixed>(mut self) -> Family {
        self.header = Some(&T::LAYOUT);
        self.header_len = T::LEN;
        self
    }
}

impl Command {
    /// A command that does nothing yet; the name is for transcripts.
    pub fn new(number: u8, name: &str) -> Command {
        Command { number, name: name.to_owned(), flags: 0, level: Level::Liberal, run: None, dump: None }
    }

    /// What a request does. It answers through its [`Context`]; an error becomes the acknowledgement.
    #[must_use]
    pub fn run(
        mut self,
        run: impl Fn(&mut Context<'_>) -> Result<(), Error> + Send + Sync + 'static,
    ) -> Command {
        self.run = Some(Box::new(run));
        self
    }

    /// What a dump lists. The records go out block by block as the client reads.
    #[must_use]
    pub fn dump(
        mut self,
        dump: impl Fn(&Request<'_>, &mut Records) -> Result<(), Error> + Send + Sync + 'static,
    ) -> Command {
        self.dump = Some(Box::new(dump));
        self
    }

    /// Needs CAP_NET_ADMIN.
    #[must_use]
    pub fn admin(mut self) -> Command {
        self.flags |= genl::GENL_UNS_ADMIN_PERM;
        self
    }

    /// Takes no unknown attributes, wrong lengths or unmarked nests, as newer families do.
    #[must_use]
    pub fn strict(mut self) -> Command {
        self.level = Level::Strict;
        self
    }
}

/// The records of a dump.
#[derive(Debug, Default)]
pub struct Records {
    all: Vec<Vec<u8>>,
    failed: Option<Errno>,
}

impl Records {
    /// Adds one: the family's header, if it has one, and attributes.
    pub fn add(&mut self, fill: impl FnOnce(&mut Writer<'_>)) {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        fill(&mut writer);
        self.failed = self.failed.or(writer.finish().err());
        self.all.push(bytes);
    }
}

/// A family's closures, as the state of its definition.
pub(crate) struct Closures(Vec<Command>);

impl Closures {
    fn find(&self, number: u8) -> Result<&Command, Error> {
        self.0.iter().find(|command| command.number == number).ok_or(Error::new(Errno::EOPNOTSUPP))
    }
}

fn run(closures: &Shared<Closures>, context: &mut Context<'_>) -> Result<(), Error> {
    match &closures.find(context.request.genl.cmd)?.run {
        Some(run) => run(context),
        None => Err(Error::new(Errno::EOPNOTSUPP)),
    }
}

fn start_dump(closures: &Shared<Closures>, request: &Request<'_>) -> Result<Box<dyn Dump>, Error> {
    let mut records = Records::default();
    match &closures.find(request.genl.cmd)?.dump {
        Some(dump) => dump(request, &mut records)?,
        None => return Err(Error::new(Errno::EOPNOTSUPP)),
    }
    if let Some(errno) = records.failed {
        return Err(Error::new(errno));
    }
    Ok(Box::new(Listing { cmd: request.genl.cmd, records: records.all.into_iter().collect(), next: 0 }))
}

struct Listing {
    cmd: u8,
    records: Vec<Vec<u8>>,
    next: usize,
}

impl Dump for Listing {
    fn next(&mut self, block: &mut DumpBlock<'_, '_>) -> Result<Progress, Error> {
        while let Some(record) = self.records.get(self.next) {
            let written = block.record(self.cmd, |w| {
                w.raw(record);
            })?;
            if !written {
                return Ok(Progress::More);
            }
            self.next += 1;
        }
        Ok(Progress::Done)
    }
}

/// A family in the forms in which a domain and a decoder take it.
pub(crate) struct Parts {
    pub(crate) def: &'static FamilyDef<Closures>,
    pub(crate) closures: Closures,
    pub(crate) decode: decode::Family,
}

impl Family {
    /// A domain takes definitions that live for ever, as a kernel's are constants. These are leaked: some hundred bytes
    /// for each family that a test registers; the closures themselves are not.
    pub(crate) fn into_parts(self) -> Parts {
        let leak = |text: String| -> &'static str { text.leak() };
        let name = leak(self.name);
        let ops: Vec<_> = self
            .commands
            .iter()
            .map(|command| Op {
                cmd: command.number,
                flags: command.flags,
                table: None,
                level: command.level,
                run: command.run.is_some().then_some(run as pfnl_sock::Run<Closures>),
                dump: command.dump.is_some().then_some(start_dump as pfnl_sock::StartDump<Closures>),
                dump_validated: true,
            })
            .collect();
        let commands: Vec<_> =
            self.commands.iter().map(|command| (command.number, leak(command.name.clone()))).collect();
        let decode =
            decode::Family { name, header: self.header, table: self.table, commands: commands.leak() };
        let def = Box::leak(Box::new(FamilyDef {
            name,
            version: self.version,
            hdrsize: self.header_len,
            table: Some(self.table),
            ops: ops.leak(),
            groups: self.groups.into_iter().map(leak).collect::<Vec<_>>().leak(),
            admin_groups: &[],
        }));
        Parts { def, closures: Closures(self.commands), decode }
    }
}

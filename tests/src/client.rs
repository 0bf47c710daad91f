//! One run of a program: its exit status and its words, within a time limit. Every asserted run is counted.

use anyhow::{Context, Result, bail, ensure};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a client may take when nothing else is said: nothing of pfnl may hang.
pub const LIMIT: Duration = Duration::from_secs(20);

/// Asserted runs by program.
static CHECKS: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());

/// How many runs of real clients had their outcome asserted so far, by program.
pub fn checks() -> BTreeMap<String, usize> {
    CHECKS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// What a program did.
#[must_use = "an outcome nobody asserts checks nothing"]
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The client: the name it is counted under; empty for what is no real client.
    pub client: String,
    /// The command line, for messages.
    pub line: String,
    /// The exit status, 128 + n for signal n, or `None` when the time limit ended it.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
    /// Whether it is among [`checks`] already.
    counted: Cell<bool>,
}

/// Runs `prefix` + `client` to its end; `prefix` is what brings the client to its place (nsenter, pfnl run, …).
///
/// # Errors
/// It cannot be started.
pub fn run(prefix: &[String], client: &[&str], limit: Duration) -> Result<Outcome> {
    start(prefix, client)?.finish(limit)
}

/// A client that runs.
#[derive(Debug)]
pub struct Running {
    child: Child,
    name: String,
    line: String,
    began: Instant,
    stdout: Words,
    stderr: Words,
}

/// Starts a client without waiting for it.
///
/// # Errors
/// It cannot be started.
pub fn start(prefix: &[String], client: &[&str]) -> Result<Running> {
    let mut words = prefix.iter().map(String::as_str).chain(client.iter().copied());
    let program = words.next().context("an empty command")?;
    let mut command = Command::new(program);
    command.args(words).env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| program.to_owned())?;
    let (stdout, stderr) = (Words::read(child.stdout.take()), Words::read(child.stderr.take()));
    // Real clients are asked for by name, as a user does; a path names pfnl itself or a program made by the test.
    let name = client.first().filter(|name| !name.contains('/')).map_or("", |name| name).to_owned();
    Ok(Running { child, name, line: client.join(" "), began: Instant::now(), stdout, stderr })
}

impl Running {
    /// The process id of what was started.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The process ids of its children: what `pfnl run` runs.
    ///
    /// # Errors
    /// It is gone.
    pub fn children(&self) -> Result<Vec<i32>> {
        let id = self.id();
        let list = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        list.split_whitespace().map(|id| Ok(id.parse()?)).collect()
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// waitpid(2) fails.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Waits until it has written these words, to stdout or stderr: that it is ready.
    ///
    /// # Errors
    /// It ends without, or takes longer than [`LIMIT`].
    pub fn says(&mut self, words: &str) -> Result<()> {
        let end = Instant::now() + LIMIT;
        loop {
            // Asked before its words are read: what ended has written all of them.
            let runs = self.is_running()? && Instant::now() < end;
            let said = [self.stdout.so_far(), self.stderr.so_far()];
            if said.iter().any(|said| said.contains(words)) {
                return Ok(());
            }
            ensure!(runs, "`{}` did not say {words:?}: {said:?}", self.line);
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits for the end, or ends it at the limit.
    ///
    /// # Errors
    /// waitpid(2) fails.
    pub fn finish(mut self, limit: Duration) -> Result<Outcome> {
        let code = wait(&mut self.child, limit)?;
        let took = self.began.elapsed();
        let (stdout, stderr) = (self.stdout.all(), self.stderr.all());
        let counted = Cell::new(false);
        Ok(Outcome {
            client: self.name.clone(),
            line: self.line.clone(),
            code,
            stdout,
            stderr,
            took,
            counted,
        })
    }

    /// Kills it and tells nothing.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The exit status within the limit, else kills and says `None`.
fn wait(child: &mut Child, limit: Duration) -> Result<Option<i32>> {
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code().or_else(|| status.signal().map(|number| 128 + number)));
        }
        if Instant::now() > end {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// What comes through a pipe, read as it comes.
#[derive(Debug)]
struct Words {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: thread::JoinHandle<()>,
}

impl Words {
    fn read(pipe: Option<impl Read + Send + 'static>) -> Words {
        let bytes = Arc::<Mutex<Vec<u8>>>::default();
        let place = Arc::clone(&bytes);
        let reader = thread::spawn(move || {
            let Some(mut pipe) = pipe else { return };
            let mut piece = [0; 4096];
            loop {
                match pipe.read(&mut piece) {
                    Ok(0) => return,
                    Ok(count) => {
                        let mut bytes = place.lock().unwrap_or_else(PoisonError::into_inner);
                        bytes.extend_from_slice(piece.get(..count).unwrap_or_default());
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(_) => return,
                }
            }
        });
        Words { bytes, reader }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// To the end, which is there when nobody has the pipe's other end.
    fn all(self) -> String {
        let Words { bytes, reader } = self;
        let _ = reader.join();
        let bytes = std::mem::take(&mut *bytes.lock().unwrap_or_else(PoisonError::into_inner));
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Outcome {
    /// Asserts that it ended well; what it printed.
    ///
    /// # Errors
    /// It did not.
    pub fn succeeds(&self) -> Result<&str> {
        self.ends_with(0)?;
        Ok(&self.stdout)
    }

    /// Asserts its exit status.
    ///
    /// # Errors
    /// It is another one.
    pub fn ends_with(&self, code: i32) -> Result<&Outcome> {
        self.count();
        match self.code {
            Some(got) if got == code => Ok(self),
            Some(got) => bail!("`{}` ended with {got}, not {code}{}", self.line, self.said()),
            None => bail!("`{}` hung: ended after {:?}{}", self.line, self.took, self.said()),
        }
    }

    /// Asserts that it failed with these words among its messages.
    ///
    /// # Errors
    /// It did not fail, or with other words.
    pub fn fails_with(&self, words: &str) -> Result<()> {
        self.count();
        let code = self.code.with_context(|| format!("`{}` hung{}", self.line, self.said()))?;
        ensure!(code != 0, "`{}` succeeded; it should fail with: {words}{}", self.line, self.said());
        ensure!(self.stderr.contains(words), "`{}` did not say: {words}{}", self.line, self.said());
        Ok(())
    }

    /// Asserts that it succeeded and printed these words.
    ///
    /// # Errors
    /// It did not.
    pub fn prints(&self, words: &str) -> Result<&str> {
        let stdout = self.succeeds()?;
        ensure!(stdout.contains(words), "`{}` did not print: {words}{}", self.line, self.said());
        Ok(stdout)
    }

    /// Counts this run as checked; the assertions above do so themselves.
    pub fn count(&self) {
        if self.client.is_empty() || self.counted.replace(true) {
            return;
        }
        let mut checks = CHECKS.lock().unwrap_or_else(PoisonError::into_inner);
        *checks.entry(self.client.clone()).or_default() += 1;
    }

    /// What it said, for a message.
    pub fn said(&self) -> String {
        let mut said = String::new();
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            let cut: String = text.chars().take(4000).collect();
            if !cut.trim().is_empty() {
                said.push_str(&format!("\n--- {name}\n{}", cut.trim_end()));
            }
        }
        said
    }
}

//! Puts a domain together: the socket family, and the families on top of it.

use anyhow::{Context, Result};
use pfnl_platform::{Shared, User};
use pfnl_sock::Domain;

/// A domain with all its families, as a host serves it.
pub struct Assembly {
    /// Where sockets are opened.
    pub domain: Shared<Domain<User>>,
}

impl Assembly {
    /// Makes one.
    ///
    /// # Errors
    /// No memory, or a family that cannot be registered.
    pub fn new() -> Result<Assembly> {
        let domain = Domain::try_new().context("no domain")?;
        register(&domain)?;
        Ok(Assembly { domain })
    }

    /// What `pfnl status` tells beyond sockets and families.
    pub fn status(&self, _text: &mut String) {}
}

/// Adds the families; nlctrl comes with the domain.
fn register(_domain: &Shared<Domain<User>>) -> Result<()> {
    Ok(())
}

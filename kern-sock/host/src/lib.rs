//! The PF_NETLINK family served to client processes over AF_UNIX.
//!
//! A [`Host`] owns a path, a [`Domain`](pfnl_sock::Domain) does the work; [`pfnl_wire`] says how they and a client's
//! preload library talk. One thread ([`Host::run`]) takes requests from all connections; whatever thread queues
//! something for a socket also pushes it into that socket's connection, so that upcalls cross no other thread.
//!
//! | Module | |
//! |---|---|
//! | [`listen`] | the path: one host on it, with the permissions asked for |
//! | [`server`] | the thread: accepts, polls, dispatches |
//! | [`watch`] | clients that see what passes |
//! | [`connection`] | one client socket: its requests, and what is pushed to it |
//!
//! Clients are not trusted: see [`pfnl_wire`] for what of the shared page is believed. What a client may do is decided
//! by the credentials the kernel vouches for: of who connected (SO_PEERCRED) and of who sent each datagram
//! (SCM_CREDENTIALS). The host's own user, and root, hold CAP_NET_ADMIN, much as under fakeroot(1); others do not.
#![forbid(unsafe_code)]

mod connection;
mod listen;
mod server;
mod watch;

pub use listen::BindError;
pub use server::{Config, Host, Stopper};
pub use watch::Watchers;

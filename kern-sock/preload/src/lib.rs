//! LD_PRELOAD library that turns netlink sockets into sockets of a pfnl host.

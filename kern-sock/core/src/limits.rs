//! How large buffers are.

/// Receive and send buffers, in bytes: what a socket starts with, and the most that setsockopt(2) may ask for
/// (`net.core.rmem_default`, `rmem_max` and so on).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of a new socket.
    pub receive_default: usize,
    /// Without privilege.
    pub receive_max: usize,
    /// Of a new socket.
    pub send_default: usize,
    /// Without privilege.
    pub send_max: usize,
    /// What the shortest datagram is charged: Linux has buffers of one size for all short ones, and that hangs on how it
    /// was built. 960 in Debian's 6.12, 832 in another 6.18.
    pub least_charge: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        const USUAL: usize = 212_992;
        Limits {
            receive_default: USUAL,
            receive_max: USUAL,
            send_default: USUAL,
            send_max: USUAL,
            least_charge: 960,
        }
    }
}

//! AF_PACKET and TAP, wrapped safely.

//! Datapath ports on a Unix host: AF_PACKET, TAP.

//! What the pfnl host and its LD_PRELOAD side say to each other.

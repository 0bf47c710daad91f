//! What runs against the whole of pfnl.

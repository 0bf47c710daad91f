//! Actions from attributes, and back.

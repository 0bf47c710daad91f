//! Flow keys and masks from attributes, and back.

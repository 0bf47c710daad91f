//! Actions: `push_vlan(vid=5,pcp=0),ct(commit),2` to a list of attributes, and back.

mod ct;
mod print;
mod scan;

pub use print::print_actions;
pub use scan::parse_actions;

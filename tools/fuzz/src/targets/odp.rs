//! OVS's text for flows and actions.

use pfnl_odp::{Filter, Ports, parse_actions, parse_flow, print_actions, print_flow};

/// The input is text, or bytes that are to be shown as text.
///
/// # Errors
/// What does not hold.
pub fn odp(input: &[u8]) -> Result<(), String> {
    let ports = Ports::from_iter([(1, "eth0".to_owned()), (2, "br-int".to_owned())]);
    // Attributes of whatever kind are shown somehow.
    let _ = print_actions(input, &ports);
    let _ = print_flow(input, Some(input), &ports, true);
    let Ok(text) = std::str::from_utf8(input) else { return Ok(()) };
    let _ = Filter::parse(text);
    // A flow without anything prints as `<empty>`, which is no flow's text.
    if let Ok(flow) = parse_flow(text, &ports)
        && !flow.key.is_empty()
    {
        let shown = print_flow(&flow.key, Some(&flow.mask), &ports, true);
        let again =
            parse_flow(&shown, &ports).map_err(|error| format!("{text:?} prints as {shown:?}: {error}"))?;
        let twice = print_flow(&again.key, Some(&again.mask), &ports, true);
        if shown != twice {
            return Err(format!("{text:?} prints as {shown:?}, that as {twice:?}"));
        }
    }
    if let Ok(actions) = parse_actions(text, &ports) {
        let shown = print_actions(&actions, &ports);
        let again = parse_actions(&shown, &ports)
            .map_err(|error| format!("{text:?} prints as {shown:?}: {error}"))?;
        let twice = print_actions(&again, &ports);
        if shown != twice {
            return Err(format!("{text:?} prints as {shown:?}, that as {twice:?}"));
        }
    }
    Ok(())
}

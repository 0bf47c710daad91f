//! Family `ovs_meter`, version 1.

use super::flows::FlowStats;

/// Commands (`enum ovs_meter_cmd`).
pub mod meter_cmd {
    /// Asks what meters can do.
    pub const FEATURES: u8 = 1;
    /// Creates or replaces a meter.
    pub const SET: u8 = 2;
    /// Deletes a meter.
    pub const DEL: u8 = 3;
    /// Reads a meter's counters.
    pub const GET: u8 = 4;
}

/// A band that drops what exceeds it.
pub const METER_BAND_TYPE_DROP: u32 = 1;

crate::attributes! {
    /// Attributes of `ovs_meter` messages.
    pub mod meter: "ovs_meter_attr" {
        /// Number in the datapath.
        1 ID id: u32;
        /// Rates are in kbit/s, not in packets/s.
        2 KBPS kbps: flag;
        /// Packets and bytes that went through.
        3 STATS stats: fixed(FlowStats) [Policy::Min(16)];
        /// Nests of [`band`], whatever their numbers.
        4 BANDS bands: array(band);
        /// When last used, in ms of the system's monotonic clock.
        5 USED used: u64;
        /// Zero the counters.
        6 CLEAR clear: flag;
        /// How many meters there can be.
        7 MAX_METERS max_meters: u32;
        /// How many bands a meter can have.
        8 MAX_BANDS max_bands: u32;
        /// Pads 64-bit values.
        9 PAD pad: pad;
    }

    /// A band of a meter, in [`meter::BANDS`].
    pub mod band: "ovs_band_attr" {
        /// `METER_BAND_TYPE_*`.
        1 TYPE band_type: u32;
        /// kbit/s or packets/s.
        2 RATE rate: u32;
        /// kbit or packets at once, beyond the rate.
        3 BURST burst: u32;
        /// Packets and bytes that exceeded it.
        4 STATS stats: fixed(FlowStats) [Policy::Min(16)];
    }
}

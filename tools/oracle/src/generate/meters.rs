//! Families `ovs_meter` and `ovs_ct_limit`.

use super::message::{Message, Node, leaf, nest, u32};
use super::{Around, Case, Make, O0, Scenario};
use pfnl_proto::msg::NLM_F_ECHO;

pfnl_proto::attributes! {
    /// `enum ovs_meter_attr`.
    pub mod meter: "ovs_meter_attr" {
        /// Its number.
        1 ID id: u32;
        /// Rates are in kbit/s, not packets/s.
        2 KBPS kbps: flag;
        /// Counters.
        3 STATS stats: fixed([u8; 16]);
        /// Limits.
        4 BANDS bands: array(band);
        /// When last used.
        5 USED used: u64;
        /// Zero the counters.
        6 CLEAR clear: flag;
        /// How many meters there may be.
        7 MAX_METERS max_meters: u32;
        /// How many bands a meter may have.
        8 MAX_BANDS max_bands: u32;
        /// Pads 64-bit values.
        9 PAD pad: pad;
    }

    /// `enum ovs_band_attr`.
    pub mod band: "ovs_band_attr" {
        /// What is done beyond the rate.
        1 TYPE band_type: u32;
        /// The rate.
        2 RATE rate: u32;
        /// The burst.
        3 BURST burst: u32;
        /// Counters.
        4 STATS stats: fixed([u8; 16]);
    }

    /// `enum ovs_ct_limit_attr`.
    pub mod ct_limit: "ovs_ct_limit_attr" {
        /// Packed structures: zone, limit, count.
        1 ZONE_LIMIT zone_limit: bytes(0);
    }
}

mod cmd {
    pub const FEATURES: u8 = 1;
    pub const SET: u8 = 2;
    pub const DEL: u8 = 3;
    pub const GET: u8 = 4;
    pub const LIMIT_SET: u8 = 1;
    pub const LIMIT_DEL: u8 = 2;
    pub const LIMIT_GET: u8 = 3;
}

pub fn scenarios(make: &mut Make<'_>) -> [Scenario; 2] {
    let (mut meters, mut limits) = (Vec::new(), Vec::new());
    fill_meters(make, &mut meters);
    fill_limits(make, &mut limits);
    [
        Scenario { name: "ovs_meter", world: true, cases: meters },
        Scenario { name: "ovs_ct_limit", world: true, cases: limits },
    ]
}

fn request(cmd: u8) -> Message {
    Message::new("ovs_meter", &meter::TABLE, cmd, O0)
}

fn band(kind: u32, rate: u32, burst: u32) -> Node {
    nest(1, &band::TABLE, [u32(band::TYPE, kind), u32(band::RATE, rate), u32(band::BURST, burst)])
}

fn bands(nodes: Vec<Node>) -> Node {
    static ONE: pfnl_proto::Table = pfnl_proto::Table::of_rows("bands", &[]);
    nest(meter::BANDS, &ONE, nodes)
}

fn fill_meters(make: &mut Make<'_>, cases: &mut Vec<Case>) {
    let del = || request(cmd::DEL).with([u32(meter::ID, 1)]);
    let set = |id, nodes| {
        request(cmd::SET).flags(NLM_F_ECHO).with([u32(meter::ID, id), leaf(meter::KBPS, []), bands(nodes)])
    };
    let good = || set(1, vec![band(1, 1000, 100)]);
    let gone = Around::after(del());
    let exists = Around { before: vec![good()], after: vec![del()] };
    make.all_of(cases, "ovs_meter/features", &request(cmd::FEATURES), &Around::default());
    make.all_of(cases, "ovs_meter/set", &good(), &gone);
    make.all_of(cases, "ovs_meter/get", &request(cmd::GET).with([u32(meter::ID, 1)]), &exists);
    make.all_of(cases, "ovs_meter/del", &del(), &exists);
    make.one(cases, "ovs_meter/set/again", &good(), &exists);
    for id in [0, 2, 1023, 1024, 1025, 199_999, 200_000, 200_001, u32::MAX] {
        let after = Around::after(request(cmd::DEL).with([u32(meter::ID, id)]));
        make.one(cases, &format!("ovs_meter/set/id-{id}"), &set(id, vec![band(1, 1000, 100)]), &after);
        make.one(
            cases,
            &format!("ovs_meter/get/id-{id}"),
            &request(cmd::GET).with([u32(meter::ID, id)]),
            &exists,
        );
        make.one(
            cases,
            &format!("ovs_meter/del/id-{id}"),
            &request(cmd::DEL).with([u32(meter::ID, id)]),
            &exists,
        );
    }
    for (kind, rate, burst) in
        [(0, 1, 1), (1, 0, 0), (1, 1, 0), (2, 1, 1), (9, 1, 1), (1, u32::MAX, u32::MAX), (1, u32::MAX, 0)]
    {
        make.one(
            cases,
            &format!("ovs_meter/set/band-{kind}-{rate}-{burst}"),
            &set(1, vec![band(kind, rate, burst)]),
            &gone,
        );
    }
    for count in [0, 2, 3] {
        make.one(
            cases,
            &format!("ovs_meter/set/{count}-bands"),
            &set(1, vec![band(1, 10, 10); count]),
            &gone,
        );
    }
    for number in (0..=7).chain([127, 128, 255]) {
        make.one(cases, &format!("ovs_meter/command-{number}"), &request(number), &Around::default());
    }
}

fn fill_limits(make: &mut Make<'_>, cases: &mut Vec<Case>) {
    let request = |cmd| Message::new("ovs_ct_limit", &ct_limit::TABLE, cmd, O0).flags(NLM_F_ECHO);
    let zone = |zone: i32, limit: u32| [zone.to_ne_bytes(), limit.to_ne_bytes(), [0; 4]].concat();
    let zones = |all: Vec<Vec<u8>>| leaf(ct_limit::ZONE_LIMIT, all.concat());
    let reset = Around::after(request(cmd::LIMIT_DEL).with([zones(vec![zone(3, 0), zone(-1, 0)])]));
    let some = || zones(vec![zone(-1, 500), zone(3, 50)]);
    let exists = Around { before: vec![request(cmd::LIMIT_SET).with([some()])], ..reset.clone() };
    make.all_of(cases, "ovs_ct_limit/set", &request(cmd::LIMIT_SET).with([some()]), &reset);
    make.all_of(
        cases,
        "ovs_ct_limit/get",
        &request(cmd::LIMIT_GET).with([zones(vec![zone(3, 0), zone(4, 0)])]),
        &exists,
    );
    make.all_of(cases, "ovs_ct_limit/get-all", &request(cmd::LIMIT_GET), &exists);
    make.all_of(cases, "ovs_ct_limit/del", &request(cmd::LIMIT_DEL).with([zones(vec![zone(3, 0)])]), &exists);
    for number in [-2, -1, 0, 65_535, 65_536, i32::MAX] {
        for (name, cmd) in [("set", cmd::LIMIT_SET), ("get", cmd::LIMIT_GET), ("del", cmd::LIMIT_DEL)] {
            let after = Around {
                before: exists.before.clone(),
                after: vec![request(cmd::LIMIT_DEL).with([zones(vec![
                    zone(3, 0),
                    zone(-1, 0),
                    zone(0, 0),
                    zone(65_535, 0),
                ])])],
            };
            make.one(
                cases,
                &format!("ovs_ct_limit/{name}/zone-{number}"),
                &request(cmd).with([zones(vec![zone(number, 7)])]),
                &after,
            );
        }
    }
    for number in (0..=7).chain([127, 128, 255]) {
        make.one(cases, &format!("ovs_ct_limit/command-{number}"), &request(number), &Around::default());
    }
}

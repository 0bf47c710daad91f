//! Fragments are put together for CT, and go out as such again.

use super::*;

/// Cuts a frame into fragments by hand; `at` are the offsets where it is cut, of the IP payload.
fn pieces(spec: &Spec, at: &[usize]) -> Vec<Vec<u8>> {
    let whole = spec.bytes();
    let (l3, l4) = (spec.l2_len(), spec.l4());
    let payload = &whole[l4..];
    let ends = at.iter().copied().chain([payload.len()]);
    let starts = [0].into_iter().chain(at.iter().copied());
    starts
        .zip(ends)
        .map(|(start, end)| {
            let more = end < payload.len();
            let mut piece = whole[..l4].to_vec();
            if spec.v6 {
                let offset = (start as u16 | u16::from(more)).to_be_bytes();
                piece[l3 + 6] = 44;
                piece.extend([spec.proto, 0, offset[0], offset[1], 0, 0, 0, 77]);
                piece.extend(&payload[start..end]);
                let len = (piece.len() - l3 - 40) as u16;
                piece[l3 + 4..][..2].copy_from_slice(&len.to_be_bytes());
            } else {
                let frag = (start / 8) as u16 | if more { 0x2000 } else { 0 };
                piece[l3 + 6..][..2].copy_from_slice(&frag.to_be_bytes());
                piece.extend(&payload[start..end]);
                let len = (piece.len() - l3) as u16;
                piece[l3 + 2..][..2].copy_from_slice(&len.to_be_bytes());
                csum::ipv4(&mut piece[l3..l4]).unwrap();
            }
            piece
        })
        .collect()
}

fn long(v6: bool, len: usize) -> Spec {
    Spec { payload: (0..len).map(|n| n as u8).collect(), ..spec(v6, 17) }
}

#[test]
fn any_order_makes_the_packet_whole_and_it_leaves_in_fragments() {
    for v6 in [false, true] {
        let spec = long(v6, 4400);
        let cut = pieces(&spec, &[1400, 2800, 4200]);
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
            let (dp, [_, out, _]) = datapath();
            let mut last = None;
            for (n, &which) in order.iter().enumerate() {
                let key = run(&dp, packet(&cut[which]), [act(commit()), Action::Output(2)]);
                let sent = out.take();
                assert_eq!(sent.is_empty(), n < 3, "{order:?}");
                // Each twice: the same again changes nothing.
                if n < 2 {
                    run(&dp, packet(&cut[which]), [act(commit()), Action::Output(2)]);
                    assert!(out.take().is_empty());
                }
                last = Some((key, sent));
            }
            let (key, sent) = last.unwrap();
            assert_eq!((key.ct_state, key.ip_frag, key.tp_dst.get()), (TRACKED | NEW, FRAG_NONE, 2000));
            // The longest fragment has 1400 bytes of payload; so have those that leave.
            let longest = cut[0].len();
            assert!(sent.iter().all(|(frame, _)| frame.len() <= longest), "{v6}");
            assert_eq!(sent.len(), 4);
            // They are good fragments: put together once more, they are the packet.
            let (again, [_, out, _]) = datapath();
            for (frame, _) in sent {
                run(&again, packet(&frame), [act(commit()), Action::Trunc(60), Action::Output(2)]);
            }
            // A truncated packet is no longer than a fragment.
            assert_eq!(out.take_one().len(), 60);
            let conn = again.conntrack().next(&mut Default::default()).unwrap();
            assert_eq!(conn.original().dst_port.get(), 2000);
        }
    }
}

#[test]
fn what_was_put_together_is_what_was_cut() {
    for v6 in [false, true] {
        let spec = long(v6, 1200);
        let table = Conntrack::<pfnl_platform::User>::try_new().unwrap();
        let mut whole = None;
        for piece in pieces(&spec, &[400, 808]) {
            let mut piece = packet(&piece);
            if let Collected::Whole { bytes, mru } = table.collect(&mut piece, v6, spec.l2_len(), 0).unwrap()
            {
                whole = Some((bytes, mru));
            }
        }
        let (bytes, mru) = whole.unwrap();
        let mut expected = spec.bytes();
        if !v6 {
            expected[spec.l2_len() + 6..][..2].fill(0);
            csum::ipv4(&mut expected[spec.l2_len()..spec.l4()]).unwrap();
        }
        assert_eq!(bytes, expected);
        assert_eq!(usize::from(mru), if v6 { 40 + 8 + 408 } else { 20 + 408 });
    }
}

#[test]
fn overlaps_holes_and_other_zones_make_nothing() {
    for v6 in [false, true] {
        let spec = long(v6, 2000);
        let (dp, [_, out, _]) = datapath();
        let send = |piece: &[u8], ct: Ct| {
            run(&dp, packet(piece), [act(ct), Action::Output(2)]);
        };
        let [a, b] = &pieces(&spec, &[800])[..] else { unreachable!() };
        // Another zone's half is not ours.
        send(a, commit());
        send(b, Ct { zone: 6, ..commit() });
        assert!(out.take().is_empty());
        send(b, commit());
        assert_eq!(out.take().len(), 2);
        // A fragment over another's end takes both away; the other half then waits for ever.
        let [_, over] = &pieces(&spec, &[792])[..] else { unreachable!() };
        send(a, commit());
        send(over, commit());
        send(b, commit());
        assert!(out.take().is_empty());
        assert_eq!(dp.conntrack().count(), 1);
    }
}

#[test]
fn memory_is_bounded() {
    let (dp, [_, out, _]) = datapath();
    // 20 MiB of first halves; each has an identification of its own.
    for n in 0u32..20_000 {
        let spec = Spec { src: [(n >> 8) as u8; 16], ..long(false, 1400) };
        let mut half = pieces(&spec, &[1000]).remove(0);
        let l3 = spec.l2_len();
        half[l3 + 4..][..2].copy_from_slice(&(n as u16).to_be_bytes());
        csum::ipv4(&mut half[l3..spec.l4()]).unwrap();
        run(&dp, packet(&half), [act(commit()), Action::Output(2)]);
    }
    assert!(out.take().is_empty() && dp.conntrack().waiting_memory() <= 4 << 20);
}

proptest! {
    /// Whatever comes, in whatever order: no panic, and never more out than in.
    #[test]
    fn noise_is_survived(
        v6 in any::<bool>(),
        steps in prop::collection::vec((any::<[u8; 2]>(), 0usize..64, any::<bool>()), 1..60),
    ) {
        let (dp, [_, out, _]) = datapath();
        let spec = long(v6, 256);
        let mut pieces = pieces(&spec, &[64, 128, 192]);
        for (bytes, at, whole) in steps {
            let which = at % pieces.len();
            let piece = &mut pieces[which];
            if !whole {
                let place = (spec.l2_len() + at).min(piece.len() - 2);
                piece[place..place + 2].copy_from_slice(&bytes);
            }
            run(&dp, packet(piece), [act(commit()), Action::Output(2)]);
        }
        out.take();
    }
}

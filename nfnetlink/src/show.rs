//! A connection's attributes, in Linux's order: one for answers, another for what groups are told.

use crate::tuple;
use pfnl_datapath::conntrack::conn::SEQ_ADJUST;
use pfnl_datapath::conntrack::event::bits;
use pfnl_datapath::conntrack::{SeqAdj, Snapshot};
use pfnl_proto::Writer;
use pfnl_proto::netfilter::{
    ct_attr, help, protoinfo, protoinfo_sctp, protoinfo_tcp, seq_adj, tuple as ct_tuple,
};

/// `TUPLE_ORIG TUPLE_REPLY [ZONE] STATUS MARK ID USE [TUPLE_MASTER] TIMEOUT [PROTOINFO HELP LABELS SEQ_ADJ_…]`
pub(crate) fn answer(w: &mut Writer<'_>, conn: &Snapshot, uses: u32) {
    ends(w, conn);
    let mut put = ct_attr::Put(w);
    put.status(conn.status).mark(conn.mark).id(conn.id).used(uses);
    master(w, conn);
    ct_attr::Put(w).timeout(conn.timeout);
    state(w, conn, true);
    helper(w, conn);
    labels(w, conn);
    shifts(w, conn);
}

/// `TUPLE_ORIG TUPLE_REPLY [ZONE] ID STATUS TIMEOUT …`: of one that has ended, its state alone.
pub(crate) fn event(w: &mut Writer<'_>, conn: &Snapshot, events: u32) {
    ends(w, conn);
    ct_attr::Put(w).id(conn.id).status(conn.status).timeout(conn.timeout);
    let has_ended = events & bits::DESTROY != 0;
    if has_ended {
        state(w, conn, false);
    } else {
        if events & bits::PROTOINFO != 0 || events & (bits::NEW | bits::RELATED) != 0 {
            state(w, conn, true);
        }
        helper(w, conn);
        if events & bits::LABEL != 0 {
            labels(w, conn);
        }
        if events & bits::RELATED != 0 {
            master(w, conn);
        }
        if events & bits::SEQADJ != 0 {
            shifts(w, conn);
        }
    }
    if conn.mark != 0 || !has_ended && events & bits::MARK != 0 {
        ct_attr::Put(w).mark(conn.mark);
    }
}

fn ends(w: &mut Writer<'_>, conn: &Snapshot) {
    tuple::put(w, ct_attr::TUPLE_ORIG, &conn.original);
    tuple::put(w, ct_attr::TUPLE_REPLY, &conn.reply);
    if conn.original.zone != 0 {
        ct_attr::Put(w).zone(conn.original.zone);
    }
}

fn master(w: &mut Writer<'_>, conn: &Snapshot) {
    let Some(master) = &conn.master else { return };
    w.nest_marked(ct_attr::TUPLE_MASTER, |w| {
        tuple::put_inside(w, master);
        if master.zone != 0 {
            ct_tuple::Put(w).zone(master.zone);
        }
    });
}

fn state(w: &mut Writer<'_>, conn: &Snapshot, whole: bool) {
    if let Some(tcp) = conn.tcp {
        let [(scale, flags), (back_scale, back_flags)] = conn.tcp_ends;
        w.nest_marked(ct_attr::PROTOINFO, |w| {
            w.nest_marked(protoinfo::TCP, |w| {
                let mut put = protoinfo_tcp::Put(w);
                put.state(tcp as u8);
                if whole {
                    put.wscale_original(scale).wscale_reply(back_scale);
                    put.flags_original(&[flags, 0]).flags_reply(&[back_flags, 0]);
                }
            });
        });
    }
    if let Some(sctp) = conn.sctp {
        let [there, back] = conn.sctp_tags;
        w.nest_marked(ct_attr::PROTOINFO, |w| {
            w.nest_marked(protoinfo::SCTP, |w| {
                let mut put = protoinfo_sctp::Put(w);
                put.state(sctp as u8);
                if whole {
                    put.vtag_original(there).vtag_reply(back);
                }
            });
        });
    }
}

fn helper(w: &mut Writer<'_>, conn: &Snapshot) {
    if let Some(helper) = conn.helper {
        w.nest_marked(ct_attr::HELP, |w| _ = help::Put(w).name(helper.name().as_bytes()));
    }
}

fn labels(w: &mut Writer<'_>, conn: &Snapshot) {
    if conn.labels != [0; 16] {
        ct_attr::Put(w).labels(&conn.labels);
    }
}

fn shifts(w: &mut Writer<'_>, conn: &Snapshot) {
    if conn.status & SEQ_ADJUST == 0 {
        return;
    }
    let [there, back] = &conn.shifts;
    for (number, SeqAdj { position, before, after }) in
        [(ct_attr::SEQ_ADJ_ORIG, there), (ct_attr::SEQ_ADJ_REPLY, back)]
    {
        w.nest_marked(number, |w| {
            let mut put = seq_adj::Put(w);
            put.correction_pos(*position);
            put.offset_before(before.cast_unsigned()).offset_after(after.cast_unsigned());
        });
    }
}

//! nlctrl, the family of families (`include/uapi/linux/genetlink.h`).

/// The family's name.
pub const NAME: &str = "nlctrl";
/// The family's version.
pub const VERSION: u8 = 2;
/// Its multicast group, told of families and groups that come and go.
pub const GROUP_NOTIFY: &str = "notify";

/// `CTRL_CMD_*`.
pub mod cmd {
    /// A family was registered (sent to user space, also in answer to GETFAMILY).
    pub const NEWFAMILY: u8 = 1;
    /// A family went away.
    pub const DELFAMILY: u8 = 2;
    /// Asks for a family, by id or name, or dumps all.
    pub const GETFAMILY: u8 = 3;
    /// A multicast group was added.
    pub const NEWMCAST_GRP: u8 = 7;
    /// A multicast group went away.
    pub const DELMCAST_GRP: u8 = 8;
    /// Dumps a family's policies.
    pub const GETPOLICY: u8 = 10;
}

crate::attributes! {
    /// Attributes of nlctrl messages.
    pub mod ctrl: "ctrl_attr" {
        /// The family's id: its messages' type.
        1 FAMILY_ID family_id: u16;
        /// The family's name.
        2 FAMILY_NAME family_name: nul_string(15);
        /// Its version.
        3 VERSION version: u32 [Policy::None];
        /// Length of its user header.
        4 HDRSIZE hdrsize: u32 [Policy::None];
        /// The greatest number of its attributes.
        5 MAXATTR maxattr: u32 [Policy::None];
        /// Its commands.
        6 OPS ops: array(op) [Policy::None];
        /// Its multicast groups.
        7 MCAST_GROUPS mcast_groups: array(group) [Policy::None];
        /// A policy: nests of nests, the outer numbered by policy, the inner by attribute.
        8 POLICY policy: bytes(0) [Policy::None];
        /// Which policies a command's do and dump use: nests numbered by command.
        9 OP_POLICY op_policy: array(op_policy) [Policy::None];
        /// Narrows GETPOLICY to one command.
        10 OP op: u32;
    }

    /// What GETFAMILY takes of [`ctrl`]: a policy of its own, as on Linux.
    pub mod get_family: "ctrl_attr" {
        /// The family's id.
        1 FAMILY_ID family_id: u16;
        /// The family's name.
        2 FAMILY_NAME family_name: nul_string(15);
    }

    /// What GETPOLICY takes of [`ctrl`].
    pub mod get_policy: "ctrl_attr" {
        /// The family's id.
        1 FAMILY_ID family_id: u16;
        /// The family's name.
        2 FAMILY_NAME family_name: nul_string(15);
        /// The only command that is wanted.
        10 OP op: u32;
    }

    /// A command, in [`ctrl::OPS`].
    pub mod op: "ctrl_attr_op" {
        /// Its number.
        1 ID id: u32;
        /// `GENL_ADMIN_PERM`, `GENL_CMD_CAP_*`.
        2 FLAGS flags: u32;
    }

    /// A multicast group, in [`ctrl::MCAST_GROUPS`].
    pub mod group: "ctrl_attr_mcast_grp" {
        /// Its name.
        1 NAME name: nul_string(15);
        /// Its number, for NETLINK_ADD_MEMBERSHIP.
        2 ID id: u32;
    }

    /// The policies of a command, in [`ctrl::OP_POLICY`].
    pub mod op_policy: "ctrl_attr_policy" {
        /// Index of the policy of its do handler.
        1 DO do_policy: u32;
        /// Index of the policy of its dump handler.
        2 DUMP dump_policy: u32;
    }

    /// What a policy says of an attribute (`enum netlink_policy_type_attr`).
    pub mod policy_type: "netlink_policy_type_attr" {
        /// `NL_ATTR_TYPE_*`.
        1 TYPE attr_type: u32;
        /// Least value of a signed integer.
        2 MIN_VALUE_S min_value_s: u64;
        /// Greatest value of a signed integer.
        3 MAX_VALUE_S max_value_s: u64;
        /// Least value of an unsigned integer.
        4 MIN_VALUE_U min_value_u: u64;
        /// Greatest value of an unsigned integer.
        5 MAX_VALUE_U max_value_u: u64;
        /// Least length.
        6 MIN_LENGTH min_length: u32;
        /// Greatest length.
        7 MAX_LENGTH max_length: u32;
        /// Policy index of a nest.
        8 POLICY_IDX policy_idx: u32;
        /// Greatest number in a nest.
        9 POLICY_MAXTYPE policy_maxtype: u32;
        /// Valid bits of a bitfield32.
        10 BITFIELD32_MASK bitfield32_mask: u32;
        /// Pads 64-bit values.
        11 PAD pad: pad;
        /// Valid bits of an integer.
        12 MASK mask: u64;
    }
}

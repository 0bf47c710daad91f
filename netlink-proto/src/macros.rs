//! One row per attribute.

/// Declares a table of attributes: from each row come the constant, the decoder, the writer and the policy.
///
/// ```
/// pfnl_proto::attributes! {
///     /// Attributes of a sample family.
///     pub mod sample: "sample_attr" {
///         /// What it is called.
///         1 NAME name: nul_string(15);
///         /// How many.
///         2 COUNT count: u32 [Policy::Uint(4, 0, 100)];
///         /// Counters, to user space only.
///         3 STATS stats: fixed([u8; 16]) [Policy::None];
///     }
/// }
/// use pfnl_proto::{Attrs, Level, Writer};
/// let mut buf = Vec::new();
/// sample::Put(&mut Writer::new(&mut buf)).name(b"x").count(7);
/// let view = sample::View::parse(Attrs::new(&buf, 0), Level::Liberal).unwrap();
/// assert_eq!((view.name(), view.count(), view.stats()), (Some(&b"x"[..]), Some(7), None));
/// ```
///
/// A row is `number CONSTANT name: kind [policy];`. Rows stand in number order (checked at compile time); the policy
/// may be left out where it follows from the kind ([`Policy::of`](crate::Policy::of)). Kinds:
///
/// | kind | payload | getter gives |
/// |---|---|---|
/// | `flag` | none | `bool` |
/// | `u8 u16 u32 u64 s32` | integer, host order | `Option` of it |
/// | `be16 be32 be64` | integer, network order | `Option` of it, host order |
/// | `string(n)`, `nul_string(n)` | text of at most n bytes | `Option<&[u8]>` up to the NUL |
/// | `bytes(n)` | up to n bytes, 0 = any | `Option<&[u8]>` |
/// | `fixed(T)` | a [`Fixed`](crate::Fixed) structure | `Option<T>` |
/// | `u32s` | integers, host order | `Option<U32s>` |
/// | `nest(m)`, `list(m)`, `array(m)` | attributes of module m's table | `Option<Attrs>` |
/// | `pad` | ignored | nothing |
#[macro_export]
macro_rules! attributes {
    ($(
        $(#[$doc:meta])*
        pub mod $module:ident: $c_name:literal {
            $($(#[$row_doc:meta])* $number:literal $constant:ident $field:ident:
                $kind:ident $(($($arg:tt)*))? $([$policy:expr])?;)*
        }
    )*) => {$(
        $(#[$doc])*
        pub mod $module {
            #[allow(unused_imports)]
            use super::*;
            #[allow(unused_imports)]
            use $crate::{Kind, Policy};

            $($(#[$row_doc])* pub const $constant: u16 = $number;)*

            /// The rows.
            pub static TABLE: $crate::Table = $crate::Table::new($c_name, &ROWS, &EXACT, &LIBERAL);

            static ROWS: [$crate::Row; NUMBERS.len()] = [$(
                $crate::Row {
                    number: $number,
                    name: stringify!($field),
                    kind: $crate::attribute_kind!($kind $(($($arg)*))?),
                    layout: $crate::attribute_layout!($kind $(($($arg)*))?),
                    policy: $crate::attribute_policy!(($kind $(($($arg)*))?) $([$policy])?),
                },
            )*];
            static EXACT: [$crate::macro_support::Lens; SLOTS] = $crate::macro_support::lens(&ROWS, false);
            static LIBERAL: [$crate::macro_support::Lens; SLOTS] = $crate::macro_support::lens(&ROWS, true);

            const NUMBERS: &[u16] = &[$($number),*];
            const _: () = assert!($crate::macro_support::in_order(NUMBERS), "rows are not in number order");
            const SLOTS: usize = $crate::macro_support::slots(NUMBERS);

            /// The attributes of one message or nest, in place.
            #[derive(Clone, Copy, Debug)]
            pub struct View<'a>(pub $crate::Index<'a, SLOTS>);

            // A getter is named after its attribute, whatever else has that name.
            #[allow(clippy::should_implement_trait, clippy::len_without_is_empty, clippy::new_ret_no_self)]
            impl<'a> View<'a> {
                /// Reads and validates a run of attributes in one pass.
                ///
                /// # Errors
                /// As [`Index::parse`](crate::Index::parse).
                #[inline]
                pub fn parse(attrs: $crate::Attrs<'a>, level: $crate::Level) -> Result<View<'a>, $crate::Error> {
                    $crate::Index::parse(attrs, &TABLE, level).map(View)
                }

                /// The same of attributes that have been validated by this table before: without another pass.
                ///
                /// # Errors
                /// As [`Index::parse`](crate::Index::parse), if they were validated by another table.
                #[inline]
                pub fn of(validated: &$crate::Validated<'a>) -> Result<View<'a>, $crate::Error> {
                    validated.index(&TABLE).map(View)
                }

                $($crate::attribute_getter! { $(#[$row_doc])* $number $field: $kind $(($($arg)*))? })*
            }

            /// Writes the table's attributes, in the order of the calls.
            pub struct Put<'w, 'b>(pub &'w mut $crate::Writer<'b>);

            #[allow(clippy::should_implement_trait)]
            impl<'w, 'b> Put<'w, 'b> {
                $($crate::attribute_setter! { $(#[$row_doc])* $number $field: $kind $(($($arg)*))? })*

                /// Writes again what a view has read, in the order of the numbers; nests as they are.
                #[inline]
                pub fn again(&mut self, view: &View<'_>) -> &mut Self {
                    $($crate::attribute_copy! { self view $field: $kind })*
                    self
                }
            }
        }
    )*};
}

/// The [`Kind`](crate::Kind) of a row.
#[doc(hidden)]
#[macro_export]
macro_rules! attribute_kind {
    (pad) => {
        Kind::Pad
    };
    (flag) => {
        Kind::Flag
    };
    (u8) => {
        Kind::Uint(1)
    };
    (u16) => {
        Kind::Uint(2)
    };
    (u32) => {
        Kind::Uint(4)
    };
    (u64) => {
        Kind::Uint(8)
    };
    (s32) => {
        Kind::Sint(4)
    };
    (be16) => {
        Kind::Be(2)
    };
    (be32) => {
        Kind::Be(4)
    };
    (be64) => {
        Kind::Be(8)
    };
    (string($len:literal)) => {
        Kind::String($len)
    };
    (nul_string($len:literal)) => {
        Kind::NulString($len)
    };
    (bytes($len:literal)) => {
        Kind::Bytes($len)
    };
    (fixed($ty:ty)) => {
        Kind::Struct(<$ty as $crate::Fixed>::LEN as u16)
    };
    (u32s) => {
        Kind::U32s
    };
    (nest($module:ident)) => {
        Kind::Nest(&$module::TABLE)
    };
    (list($module:ident)) => {
        Kind::List(&$module::TABLE)
    };
    (array($module:ident)) => {
        Kind::Array(&$module::TABLE)
    };
}

/// The [`Layout`](crate::Layout) of a row that holds a structure.
#[doc(hidden)]
#[macro_export]
macro_rules! attribute_layout {
    (fixed($ty:ty)) => {
        Some(&<$ty as $crate::Fixed>::LAYOUT)
    };
    ($kind:ident $(($($arg:tt)*))?) => {
        None
    };
}

/// The [`Policy`](crate::Policy) of a row.
#[doc(hidden)]
#[macro_export]
macro_rules! attribute_policy {
    ($kind:tt [$policy:expr]) => { $policy };
    (($($kind:tt)*)) => { Policy::of($crate::attribute_kind!($($kind)*)) };
}

/// The getter of a row.
#[doc(hidden)]
#[macro_export]
macro_rules! attribute_getter {
    ($(#[$doc:meta])* $number:literal $field:ident: pad) => {};
    ($(#[$doc:meta])* $number:literal $field:ident: flag) => {
        $(#[$doc])* #[inline] pub fn $field(&self) -> bool { self.0.has($number) }
    };
    ($(#[$doc:meta])* $number:literal $field:ident: string($len:literal)) => {
        $crate::attribute_getter! { @ $(#[$doc])* $number $field: &'a [u8], |payload| Some($crate::macro_support::text(payload)) }
    };
    ($(#[$doc:meta])* $number:literal $field:ident: nul_string($len:literal)) => {
        $crate::attribute_getter! { @ $(#[$doc])* $number $field: &'a [u8], |payload| Some($crate::macro_support::text(payload)) }
    };
    ($(#[$doc:meta])* $number:literal $field:ident: bytes($len:literal)) => {
        $crate::attribute_getter! { @ $(#[$doc])* $number $field: &'a [u8], |payload| Some(payload) }
    };
    ($(#[$doc:meta])* $number:literal $field:ident: fixed($ty:ty)) => {
        $crate::attribute_getter! { @ $(#[$doc])* $number $field: $ty, |payload| $crate::Fixed::read(payload) }
    };
    ($(#[$doc:meta])* $number:literal $field:ident: u32s) => {
        $crate::attribute_getter! { @ $(#[$doc])* $number $field: $crate::U32s<'a>, |payload| Some($crate::U32s::new(payload)) }
    };
    ($(#[$doc:meta])* $number:literal $field:ident: s32) => {
        $crate::attribute_getter! { @ $(#[$doc])* $number $field: i32, |payload| $crate::Fixed::read(payload) }
    };
    ($(#[$doc:meta])* $number:literal $field:ident: be16) => {
        $crate::attribute_getter! { @ $(#[$doc])* $number $field: u16, |payload| $crate::Fixed::read(payload).map(u16::from_be_bytes) }
    };
    ($(#[$doc:meta])* $number:literal $field:ident: be32) => {
        $crate::attribute_getter! { @ $(#[$doc])* $number $field: u32, |payload| $crate::Fixed::read(payload).map(u32::from_be_bytes) }
    };
    ($(#[$doc:meta])* $number:literal $field:ident: be64) => {
        $crate::attribute_getter! { @ $(#[$doc])* $number $field: u64, |payload| $crate::Fixed::read(payload).map(u64::from_be_bytes) }
    };
    ($(#[$doc:meta])* $number:literal $field:ident: $nest:ident($module:ident)) => {
        $(#[$doc])* #[inline] pub fn $field(&self) -> Option<$crate::Attrs<'a>> { self.0.nest($number) }
    };
    ($(#[$doc:meta])* $number:literal $field:ident: $int:ident) => {
        $crate::attribute_getter! { @ $(#[$doc])* $number $field: $int, |payload| $crate::Fixed::read(payload) }
    };
    (@ $(#[$doc:meta])* $number:literal $field:ident: $ty:ty, $read:expr) => {
        $(#[$doc])*
        #[inline]
        pub fn $field(&self) -> Option<$ty> {
            let read: fn(&'a [u8]) -> Option<$ty> = $read;
            self.0.payload($number).and_then(read)
        }
    };
}

/// Writes a row's attribute again.
#[doc(hidden)]
#[macro_export]
macro_rules! attribute_copy {
    ($put:ident $view:ident $field:ident: pad) => {};
    ($put:ident $view:ident $field:ident: flag) => {
        if $view.$field() {
            $put.$field();
        }
    };
    ($put:ident $view:ident $field:ident: fixed) => {
        if let Some(value) = $view.$field() {
            $put.$field(&value);
        }
    };
    ($put:ident $view:ident $field:ident: nest) => {
        if let Some(inside) = $view.$field() {
            $put.$field(|w| _ = w.raw(inside.bytes()));
        }
    };
    ($put:ident $view:ident $field:ident: list) => {
        $crate::attribute_copy! { $put $view $field: nest }
    };
    ($put:ident $view:ident $field:ident: array) => {
        $crate::attribute_copy! { $put $view $field: nest }
    };
    ($put:ident $view:ident $field:ident: $value:ident) => {
        if let Some(value) = $view.$field() {
            $put.$field(value);
        }
    };
}

/// The writer's method of a row.
#[doc(hidden)]
#[macro_export]
macro_rules! attribute_setter {
    ($(#[$doc:meta])* $number:literal $field:ident: pad) => {};
    ($(#[$doc:meta])* $number:literal $field:ident: flag) => {
        $(#[$doc])* #[inline] pub fn $field(&mut self) -> &mut Self { self.0.flag($number); self }
    };
    ($(#[$doc:meta])* $number:literal $field:ident: string($len:literal)) => {
        $(#[$doc])* #[inline] pub fn $field(&mut self, text: &[u8]) -> &mut Self { self.0.string($number, text); self }
    };
    ($(#[$doc:meta])* $number:literal $field:ident: nul_string($len:literal)) => {
        $(#[$doc])* #[inline] pub fn $field(&mut self, text: &[u8]) -> &mut Self { self.0.string($number, text); self }
    };
    ($(#[$doc:meta])* $number:literal $field:ident: bytes($len:literal)) => {
        $(#[$doc])* #[inline] pub fn $field(&mut self, bytes: &[u8]) -> &mut Self { self.0.bytes($number, bytes); self }
    };
    ($(#[$doc:meta])* $number:literal $field:ident: fixed($ty:ty)) => {
        $(#[$doc])* #[inline] pub fn $field(&mut self, value: &$ty) -> &mut Self { self.0.fixed($number, value); self }
    };
    ($(#[$doc:meta])* $number:literal $field:ident: u32s) => {
        $(#[$doc])*
        pub fn $field(&mut self, values: impl ExactSizeIterator<Item = u32>) -> &mut Self {
            self.0.u32s($number, values);
            self
        }
    };
    ($(#[$doc:meta])* $number:literal $field:ident: s32) => {
        $(#[$doc])* #[inline] pub fn $field(&mut self, value: i32) -> &mut Self { self.0.fixed($number, &value); self }
    };
    ($(#[$doc:meta])* $number:literal $field:ident: be16) => {
        $(#[$doc])* #[inline] pub fn $field(&mut self, value: u16) -> &mut Self { self.0.fixed($number, &value.to_be_bytes()); self }
    };
    ($(#[$doc:meta])* $number:literal $field:ident: be32) => {
        $(#[$doc])* #[inline] pub fn $field(&mut self, value: u32) -> &mut Self { self.0.fixed($number, &value.to_be_bytes()); self }
    };
    ($(#[$doc:meta])* $number:literal $field:ident: be64) => {
        $(#[$doc])* #[inline] pub fn $field(&mut self, value: u64) -> &mut Self { self.0.fixed($number, &value.to_be_bytes()); self }
    };
    ($(#[$doc:meta])* $number:literal $field:ident: $nest:ident($module:ident)) => {
        $(#[$doc])*
        #[inline]
        pub fn $field(&mut self, fill: impl FnOnce(&mut $crate::Writer<'b>)) -> &mut Self {
            self.0.nest($number, fill);
            self
        }
    };
    ($(#[$doc:meta])* $number:literal $field:ident: $int:ident) => {
        $(#[$doc])* #[inline] pub fn $field(&mut self, value: $int) -> &mut Self { self.0.fixed($number, &value); self }
    };
}

//! Structures that travel as they lie in memory: `struct ovs_flow_stats` and the like.

use crate::array;

/// What the bytes of a [`Fixed`] are, for who shows them.
#[derive(Clone, Copy, Debug)]
pub enum Layout {
    /// An integer of so many bytes in host byte order.
    Uint(u8),
    /// A signed one.
    Sint(u8),
    /// So many bytes: an address, or an integer in network byte order.
    Bytes(u16),
    /// Fields, one after the other: the structure's name and theirs.
    Fields(&'static str, &'static [(&'static str, Layout)]),
}

/// A structure with a fixed wire layout.
pub trait Fixed: Sized + Copy {
    /// Its size on the wire.
    const LEN: usize;

    /// What it is made of.
    const LAYOUT: Layout;

    /// Reads it from the start of `bytes`; `None` when they are too few.
    fn read(bytes: &[u8]) -> Option<Self>;

    /// Writes it to `out`, which is at least [`Fixed::LEN`] long; what does not fit is left out.
    fn write(&self, out: &mut [u8]);
}

macro_rules! integers {
    ($($int:ty: $layout:ident)*) => {$(
        impl Fixed for $int {
            const LEN: usize = size_of::<$int>();
            const LAYOUT: Layout = Layout::$layout(size_of::<$int>() as u8);
            #[inline]
            fn read(bytes: &[u8]) -> Option<$int> { array(bytes, 0).map(<$int>::from_ne_bytes) }
            #[inline]
            fn write(&self, out: &mut [u8]) { <[u8; size_of::<$int>()]>::write(&self.to_ne_bytes(), out) }
        }
    )*};
}
integers!(u8: Uint u16: Uint u32: Uint u64: Uint i32: Sint);

impl<const N: usize> Fixed for [u8; N] {
    const LEN: usize = N;
    const LAYOUT: Layout = Layout::Bytes(N as u16);
    #[inline]
    fn read(bytes: &[u8]) -> Option<[u8; N]> {
        array(bytes, 0)
    }
    #[inline]
    fn write(&self, out: &mut [u8]) {
        if let Some(out) = out.first_chunk_mut() {
            *out = *self;
        }
    }
}

/// Takes the next field off a run of bytes.
#[inline]
#[doc(hidden)]
pub fn take<T: Fixed>(bytes: &mut &[u8]) -> Option<T> {
    let value = T::read(bytes)?;
    *bytes = bytes.get(T::LEN..)?;
    Some(value)
}

/// Declares structures with a fixed layout: fields in order, without padding beyond what is written out.
/// Byte-order-sensitive fields in network order are `[u8; N]`.
#[macro_export]
macro_rules! fixed {
    ($($(#[$doc:meta])* pub struct $name:ident { $($(#[$fdoc:meta])* pub $field:ident: $ty:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name { $($(#[$fdoc])* pub $field: $ty,)* }

        impl $crate::Fixed for $name {
            const LEN: usize = 0usize $(.saturating_add(<$ty as $crate::Fixed>::LEN))*;
            const LAYOUT: $crate::Layout = $crate::Layout::Fields(
                stringify!($name),
                &[$((stringify!($field), <$ty as $crate::Fixed>::LAYOUT),)*],
            );
            #[inline]
            fn read(bytes: &[u8]) -> Option<$name> {
                let mut bytes = bytes.get(..Self::LEN)?;
                Some($name { $($field: $crate::macro_support::take(&mut bytes)?,)* })
            }
            #[inline]
            fn write(&self, out: &mut [u8]) {
                let mut at = 0usize;
                $(
                    if let Some(out) = out.get_mut(at..) { $crate::Fixed::write(&self.$field, out); }
                    at = at.saturating_add(<$ty as $crate::Fixed>::LEN);
                )*
                let _ = at;
            }
        }
    )*};
}

#[cfg(test)]
mod tests {
    use crate::{Fixed, Layout};

    crate::fixed! {
        /// A sample.
        pub struct Sample {
            /// One.
            pub a: u32,
            /// Two.
            pub b: [u8; 2],
            /// Three.
            pub c: u16,
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let sample = Sample { a: 7, b: [1, 2], c: 3 };
        let mut bytes = [0; 8];
        sample.write(&mut bytes);
        assert_eq!(Sample::LEN, 8);
        let Layout::Fields("Sample", fields) = Sample::LAYOUT else { panic!("not a structure") };
        assert!(matches!(fields, [("a", Layout::Uint(4)), ("b", Layout::Bytes(2)), ("c", Layout::Uint(2))]));
        assert_eq!(Sample::read(&bytes), Some(sample));
        assert_eq!(Sample::read(&bytes[..7]), None);
    }
}

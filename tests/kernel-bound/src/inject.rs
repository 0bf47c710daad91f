//! What the check must notice, one feature each. Without a feature there is nothing here.

#[cfg(feature = "inject-std")]
extern crate std;

/// Does what a kernel must not do.
pub fn inject(input: &[u8]) {
    #[cfg(feature = "inject-float")]
    crate::kernel::output((crate::kernel::pfnl_number() as f64 * 0.1) as usize);
    #[cfg(feature = "inject-frame")]
    {
        let mut frame = [0u8; 2000];
        for (to, from) in frame.iter_mut().zip(input) {
            *to = *from;
        }
        crate::kernel::output(frame.as_ptr() as usize);
    }
    let _ = input;
}

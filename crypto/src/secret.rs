//! One type for each purpose of a 32-byte key, so that swapped keys don't compile.

/// Declares a 32-byte secret: wiped on drop, `Debug` redacted, no `PartialEq`, no serialisation.
macro_rules! secret {
    ($(#[$doc:meta])* $vis:vis $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
        $vis struct $name([u8; 32]);

        #[allow(dead_code)]
        impl $name {
            /// Takes the bytes of the key.
            #[must_use]
            $vis fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            pub(crate) fn from_secret(secret: &crate::kdf::Secret32) -> Self {
                Self(**secret)
            }

            /// The key itself: for a KDF, a cipher or a vault, never for a log.
            #[must_use]
            $vis fn expose(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                let Self(_) = self;
                f.write_str(concat!(stringify!($name), "(redacted)"))
            }
        }
    };
}

pub(crate) use secret;

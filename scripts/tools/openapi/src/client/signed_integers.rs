macro_rules! signed_integers {
    ($($name:ident in $min:literal..=$max:literal,)*) => { $(
        impl types::$name {
            /// The value as an integer.
            pub fn get(self) -> i64 {
                self.0
            }
        }
        signed_integers!($name, $min, $max, i32);
        signed_integers!($name, $min, $max, u64);
    )* };
    ($name:ident, $min:literal, $max:literal, $from:ty) => {
        impl ::std::convert::TryFrom<$from> for types::$name {
            type Error = types::error::ConversionError;

            fn try_from(value: $from) -> ::std::result::Result<Self, Self::Error> {
                i64::try_from(value)
                    .ok()
                    .filter(|value| ($min..=$max).contains(value))
                    .map(Self)
                    .ok_or_else(|| concat!("expected an integer from ", $min, " to ", $max).into())
            }
        }
    };
}

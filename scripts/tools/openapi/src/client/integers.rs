macro_rules! integers {
    ($($name:ident in $min:literal..=$max:literal,)*) => { $(
        integers!($name, $min, $max, i32);
        integers!($name, $min, $max, i64);
        integers!($name, $min, $max, u64);

        impl ::std::convert::From<types::$name> for u64 {
            fn from(value: types::$name) -> Self {
                value.0.get()
            }
        }
    )* };
    ($name:ident, $min:literal, $max:literal, $from:ty) => {
        impl ::std::convert::TryFrom<$from> for types::$name {
            type Error = types::error::ConversionError;

            fn try_from(value: $from) -> ::std::result::Result<Self, Self::Error> {
                u64::try_from(value)
                    .ok()
                    .filter(|value| ($min..=$max).contains(value))
                    .and_then(::std::num::NonZeroU64::new)
                    .map(Self)
                    .ok_or_else(|| concat!("expected an integer from ", $min, " to ", $max).into())
            }
        }
    };
}

//! Records as bytes: fields in order, each record length-prefixed.
//!
//! Fields are only ever added at the end; a record written before a field existed reads it as its "missing" value.
//! A row's value is `version ‖ CRC-32 over (table, key, body) ‖ body`, so a flipped bit or a row that strayed to
//! another key is noticed.

use crate::secret::{Secret, SecretBytes};

/// The bytes are not a record of this type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Corrupt;

const ENVELOPE_VERSION: u8 = 1;

/// Wraps a body for storage under (`table`, `key`).
pub(crate) fn seal(table: u8, key: &[u8], body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(5 + body.len());
    out.push(ENVELOPE_VERSION);
    out.extend_from_slice(&checksum(table, key, body).to_be_bytes());
    out.extend_from_slice(body);
    out
}

/// The body of a stored value.
pub(crate) fn open<'a>(table: u8, key: &[u8], value: &'a [u8]) -> Result<&'a [u8], Corrupt> {
    let (&version, rest) = value.split_first().ok_or(Corrupt)?;
    let (sum, body) = rest.split_first_chunk::<4>().ok_or(Corrupt)?;
    let good = version == ENVELOPE_VERSION && u32::from_be_bytes(*sum) == checksum(table, key, body);
    if good { Ok(body) } else { Err(Corrupt) }
}

fn checksum(table: u8, key: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[table]);
    hasher.update(&(key.len() as u64).to_be_bytes());
    hasher.update(key);
    hasher.update(body);
    hasher.finalize()
}

/// A value that can be written into a record and read back.
pub(crate) trait Field: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn take(input: &mut &[u8]) -> Result<Self, Corrupt>;
    /// The value of a field that the record's writer did not know yet.
    fn missing() -> Result<Self, Corrupt> {
        Err(Corrupt)
    }
}

/// Reads one field of a record, or its missing value where the record ends before it.
pub(crate) fn take_or_missing<T: Field>(input: &mut &[u8]) -> Result<T, Corrupt> {
    if input.is_empty() { T::missing() } else { T::take(input) }
}

fn put_length(len: usize, out: &mut Vec<u8>) {
    // Records are bounded far below 4 GiB; a longer one would read back as corrupt, never as another.
    out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
}

pub(crate) fn take_slice<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], Corrupt> {
    let len = u32::take(input)?;
    let (head, tail) = input.split_at_checked(len as usize).ok_or(Corrupt)?;
    *input = tail;
    Ok(head)
}

/// Writes a length-prefixed block.
pub(crate) fn put_block(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut body = Vec::new();
    fill(&mut body);
    put_length(body.len(), out);
    out.extend_from_slice(&body);
    zeroize::Zeroize::zeroize(&mut body);
}

macro_rules! integers {
    ($($ty:ty),*) => {$(
        impl Field for $ty {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
            fn take(input: &mut &[u8]) -> Result<Self, Corrupt> {
                let (head, tail) = input.split_first_chunk().ok_or(Corrupt)?;
                *input = tail;
                Ok(<$ty>::from_be_bytes(*head))
            }
        }
    )*};
}
integers!(u8, u16, u32, u64, i64);

impl Field for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn take(input: &mut &[u8]) -> Result<Self, Corrupt> {
        match u8::take(input)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Corrupt),
        }
    }
    fn missing() -> Result<Self, Corrupt> {
        Ok(false)
    }
}

impl Field for String {
    fn put(&self, out: &mut Vec<u8>) {
        put_length(self.len(), out);
        out.extend_from_slice(self.as_bytes());
    }
    fn take(input: &mut &[u8]) -> Result<Self, Corrupt> {
        std::str::from_utf8(take_slice(input)?).map(str::to_owned).map_err(|_| Corrupt)
    }
}

impl<const N: usize> Field for [u8; N] {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
    fn take(input: &mut &[u8]) -> Result<Self, Corrupt> {
        let (head, tail) = input.split_first_chunk().ok_or(Corrupt)?;
        *input = tail;
        Ok(*head)
    }
}

impl<const N: usize> Field for Secret<N> {
    fn put(&self, out: &mut Vec<u8>) {
        self.expose().put(out);
    }
    fn take(input: &mut &[u8]) -> Result<Self, Corrupt> {
        <[u8; N]>::take(input).map(Self::new)
    }
}

impl Field for SecretBytes {
    fn put(&self, out: &mut Vec<u8>) {
        put_length(self.len(), out);
        out.extend_from_slice(self.expose());
    }
    fn take(input: &mut &[u8]) -> Result<Self, Corrupt> {
        take_slice(input).map(Self::from)
    }
}

impl<T: Field> Field for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.is_some()));
        if let Some(value) = self {
            value.put(out);
        }
    }
    fn take(input: &mut &[u8]) -> Result<Self, Corrupt> {
        if bool::take(input)? { T::take(input).map(Some) } else { Ok(None) }
    }
    fn missing() -> Result<Self, Corrupt> {
        Ok(None)
    }
}

impl<T: Field> Field for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        put_length(self.len(), out);
        for value in self {
            value.put(out);
        }
    }
    fn take(input: &mut &[u8]) -> Result<Self, Corrupt> {
        let count = u32::take(input)? as usize;
        // Every item takes a byte at least, so a lying count can't make us reserve more than the input's size.
        let mut items = Self::with_capacity(count.min(input.len()));
        for _ in 0..count {
            items.push(T::take(input)?);
        }
        Ok(items)
    }
    fn missing() -> Result<Self, Corrupt> {
        Ok(Self::new())
    }
}

impl<A: Field, B: Field> Field for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }
    fn take(input: &mut &[u8]) -> Result<Self, Corrupt> {
        Ok((A::take(input)?, B::take(input)?))
    }
}

/// Declares a record: a struct whose fields are written in order (add new ones at the end only).
macro_rules! record {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$fmeta:meta])* pub $field:ident: $ty:ty,)* }) => {
        $(#[$meta])*
        pub struct $name { $($(#[$fmeta])* pub $field: $ty,)* }

        impl $crate::codec::Field for $name {
            fn put(&self, out: &mut Vec<u8>) {
                $crate::codec::put_block(out, |body| { $($crate::codec::Field::put(&self.$field, body);)* });
            }
            fn take(input: &mut &[u8]) -> Result<Self, $crate::codec::Corrupt> {
                let mut body = $crate::codec::take_slice(input)?;
                Ok(Self { $($field: $crate::codec::take_or_missing(&mut body)?,)* })
            }
        }
    };
}
pub(crate) use record;

/// Declares how an enum without content is written: one stable number a variant.
macro_rules! numbered {
    ($name:ident { $($variant:ident = $number:literal,)* }) => {
        impl $crate::codec::Field for $name {
            fn put(&self, out: &mut Vec<u8>) {
                out.push(match self { $(Self::$variant => $number,)* });
            }
            fn take(input: &mut &[u8]) -> Result<Self, $crate::codec::Corrupt> {
                match <u8 as $crate::codec::Field>::take(input)? {
                    $($number => Ok(Self::$variant),)*
                    _ => Err($crate::codec::Corrupt),
                }
            }
        }
    };
}
pub(crate) use numbered;

#[cfg(test)]
#[allow(missing_docs, reason = "records of the tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    record! {
        #[derive(Debug, Clone, PartialEq)]
        pub struct Old {
            pub name: String,
        }
    }
    record! {
        #[derive(Debug, Clone, PartialEq)]
        pub struct Young {
            pub name: String,
            pub count: Option<u32>,
            pub on: bool,
            pub old: Vec<Old>,
        }
    }

    #[test]
    fn a_record_from_before_a_field_existed_reads_it_as_missing() {
        let mut bytes = Vec::new();
        Old { name: "n".into() }.put(&mut bytes);
        let young = Young::take(&mut &bytes[..]).unwrap();
        assert_eq!(young, Young { name: "n".into(), count: None, on: false, old: Vec::new() });
    }

    #[test]
    fn a_record_from_a_younger_program_is_read_without_its_new_fields() {
        let mut bytes = Vec::new();
        let young = Young { name: "n".into(), count: Some(3), on: true, old: vec![Old { name: "o".into() }] };
        young.put(&mut bytes);
        assert_eq!(Old::take(&mut &bytes[..]), Ok(Old { name: "n".into() }));
        assert_eq!(Young::take(&mut &bytes[..]), Ok(young));
    }

    #[test]
    fn a_value_is_bound_to_its_table_and_key() {
        let sealed = seal(3, b"key", b"body");
        assert_eq!(open(3, b"key", &sealed), Ok(&b"body"[..]));
        assert_eq!(open(4, b"key", &sealed), Err(Corrupt));
        assert_eq!(open(3, b"kez", &sealed), Err(Corrupt));
        for at in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 0x10;
            assert_eq!(open(3, b"key", &flipped), Err(Corrupt), "byte {at}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_record_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(Young::take(&mut &bytes[..]));
            let _ = open(1, b"k", &bytes);
        }
    }
}

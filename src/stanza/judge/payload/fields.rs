//! The fields of one level of an encoded message. Unlike the shallow editor's reader (`proto::edit`) it takes groups,
//! which a newer schema might have.

/// Group in group, at most.
const MAX_GROUPS: usize = 32;

/// A value as it lies on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Raw<'a> {
    Varint(u64),
    Fixed64,
    Bytes(&'a [u8]),
    Group,
    Fixed32,
}

/// The bytes are no protobuf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Undecodable;

/// Every field of a level, in order.
pub(super) fn fields(mut rest: &[u8]) -> Result<Vec<(u32, Raw<'_>)>, Undecodable> {
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let (number, wire_type) = key(&mut rest)?;
        fields.push((number, value(&mut rest, (number, wire_type), 0)?));
    }
    Ok(fields)
}

/// A varint of at most ten bytes.
pub(super) fn varint(rest: &mut &[u8]) -> Result<u64, Undecodable> {
    prost::encoding::decode_varint(rest).map_err(|_| Undecodable)
}

/// Takes so many bytes.
pub(super) fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], Undecodable> {
    let (taken, after) = rest.split_at_checked(len).ok_or(Undecodable)?;
    *rest = after;
    Ok(taken)
}

fn key(rest: &mut &[u8]) -> Result<(u32, u8), Undecodable> {
    let key = varint(rest)?;
    let number = u32::try_from(key >> 3).map_err(|_| Undecodable)?;
    if number == 0 || number >= 1 << 29 {
        return Err(Undecodable);
    }
    Ok((number, (key & 7) as u8))
}

fn value<'a>(
    rest: &mut &'a [u8],
    (number, wire_type): (u32, u8),
    depth: usize,
) -> Result<Raw<'a>, Undecodable> {
    match wire_type {
        0 => varint(rest).map(Raw::Varint),
        1 => take(rest, 8).map(|_| Raw::Fixed64),
        2 => {
            let len = usize::try_from(varint(rest)?).map_err(|_| Undecodable)?;
            take(rest, len).map(Raw::Bytes)
        }
        3 if depth < MAX_GROUPS => loop {
            match key(rest)? {
                (end, 4) if end == number => return Ok(Raw::Group),
                (_, 4) => return Err(Undecodable),
                inner => drop(value(rest, inner, depth + 1)?),
            }
        },
        5 => take(rest, 4).map(|_| Raw::Fixed32),
        _ => Err(Undecodable),
    }
}

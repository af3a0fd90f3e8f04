//! What must hold for any bytes. Used by the fuzz targets and by the test that replays the corpus.

use palomar::wire::{
    Arena, Dialect, FrameDecoder, Jid, Node, Writer, decode, decode_node, encode_in, parse_intro,
};

/// `nodes`: any bytes decode or fail; what decodes is stable over encode and decode.
pub fn nodes(data: &[u8]) {
    let mut arena = Arena::new();
    let Ok(root) = decode(data, &mut arena) else { return };
    let node = root.to_node();
    let encoded = encode(&node);
    let again = decode_node(&encoded).expect("what we write, we read");
    assert!(node.same_as(&again), "another node after encode and decode");
    assert!(encode(&again) == encoded, "a second encoding differs");
    read_everything(&node);
}

fn encode(node: &Node) -> Vec<u8> {
    let mut out = Vec::new();
    encode_in(Dialect::Server, node, &mut out).expect("what decodes can be written");
    out
}

/// The readers and the log form take everything that decodes.
fn read_everything(node: &Node) {
    for (key, _) in &node.attrs {
        let _ = (node.str(key), node.jid(key), node.u64(key));
    }
    let _ = (node.content_bytes(), node.content_text(), node.to_string());
    node.nodes().for_each(read_everything);
}

/// `frames`: however a stream is cut, the frames are the same, and nothing panics.
pub fn frames(data: &[u8]) {
    let Some((&size, stream)) = data.split_first() else { return };
    let whole = split(stream, stream.len().max(1));
    assert!(split(stream, usize::from(size).max(1)) == whole, "cutting changes the frames");
    if let Ok(Some(intro)) = parse_intro(stream) {
        assert!(intro.len <= stream.len());
    }
}

fn split(stream: &[u8], size: usize) -> Vec<Vec<u8>> {
    let mut decoder = FrameDecoder::with_limit(1 << 16);
    let mut frames = Vec::new();
    for piece in stream.chunks(size) {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(_) => return frames,
            }
        }
    }
    frames
}

/// `jid`: what parses has one canonical text, and survives its binary form.
pub fn jid(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(jid) = text.parse::<Jid>() else { return };
    assert!(jid.is_address());
    assert_eq!(jid.to_string().parse::<Jid>().as_ref(), Ok(&jid));
    assert_eq!(jid.to_user().to_user(), jid.to_user());
    assert!(jid.same_user(&jid.to_user()));
    let _ = (jid.hash_form(), jid.signal_name());
    let mut out = Vec::new();
    if Writer::new(&mut out, Dialect::Server).jid(&jid).is_ok() {
        let node = Node::new("item").attr("jid", jid.clone());
        assert_eq!(decode_node(&encode(&node)).expect("reads").jid("jid"), Some(jid));
    }
}

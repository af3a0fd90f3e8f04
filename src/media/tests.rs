//! Streaming in pieces, the sidecar's windows, ranges, every check (protocol 08 §16 nos. 2 to 4).

use super::*;
use crate::crypto::sha256;

fn keys() -> MediaKeys {
    MediaKey::from_slice(&[7; 32]).unwrap().expand(MediaKind::Video).unwrap()
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 13 + 5) as u8).collect()
}

fn sums(file: &[u8], plain: &[u8]) -> Sums {
    Sums { file: sha256(file), plain: sha256(plain) }
}

/// Lengths around blocks, pieces and windows.
const LENGTHS: [usize; 14] =
    [0, 1, 15, 16, 17, 31, 32, 16_383, 16_384, 65_519, 65_535, 65_536, 65_537, 200_001];

#[test]
fn proves_08_16_2_pieces_of_every_size_give_the_same_file_and_back() {
    for length in LENGTHS {
        let plain = pattern(length);
        let (file, sealed) = seal(&keys(), &plain, true);
        assert_eq!(file.len() as u64, file_length(length as u64));
        for step in [1, 7, 4_096, 65_536, 70_001] {
            let (mut out, mut sealer) = (Vec::new(), Sealer::new(&keys(), true));
            plain.chunks(step).for_each(|piece| sealer.update(piece, &mut out));
            assert_eq!(sealer.finish(&mut out), sealed, "{length} bytes in pieces of {step}");
            assert_eq!(out, file);

            let (mut back, mut opener) = (Vec::new(), Opener::new(&keys(), sums(&file, &plain)));
            file.chunks(step).for_each(|piece| opener.update(piece, &mut back));
            assert_eq!(opener.finish(&mut back), Ok(length as u64));
            assert_eq!(back, plain);
        }
    }
}

#[test]
fn proves_08_16_2_memory_does_not_grow_with_the_file() {
    let (mut out, mut sealer) = (Vec::new(), Sealer::new(&keys(), false));
    let mut opener = Opener::new(&keys(), Sums { file: [0; 32], plain: [0; 32] });
    let (piece, mut back, mut most) = (vec![3; 65_536], Vec::new(), 0);
    for _ in 0..128 {
        out.clear();
        back.clear();
        sealer.update(&piece, &mut out);
        opener.update(&out, &mut back);
        most = most.max(out.capacity()).max(back.capacity()).max(opener.held_capacity());
    }
    assert!(most <= 2 * 65_536 + 64, "{most} bytes held for a piece of 65,536");
}

#[test]
fn proves_08_16_4_a_flipped_bit_is_found_in_the_windows_that_cover_it() {
    let plain = pattern(200_000);
    let (file, sealed) = seal(&keys(), &plain, true);
    let sidecar = sealed.sidecar.unwrap();
    let count = sidecar.len() / MAC_LENGTH;
    assert_eq!(count, 4);
    let verifies = |file: &[u8], n: usize| {
        let window = window_of(n as u64, file.len() as u64);
        window_verifies(&keys(), &sidecar, n, &file[window.start as usize..window.end as usize])
    };
    assert!((0..count).all(|n| verifies(&file, n)));
    for at in [0, 65_519, 65_520, 65_535, 65_536, 131_055, 131_060, 150_000, file.len() - 1] {
        let mut bad = file.clone();
        bad[at] ^= 1;
        for n in 0..count {
            let covers = window_of(n as u64, file.len() as u64).contains(&(at as u64));
            assert_eq!(verifies(&bad, n), !covers, "byte {at}, window {n}");
        }
    }
    assert!(!verifies(&file, count), "there is no such entry");
}

#[test]
fn proves_08_16_4_every_range_is_the_plaintext_of_it() {
    let plain = pattern(1_000);
    let (file, _) = seal(&keys(), &plain, false);
    let ciphertext = (file.len() - MAC_LENGTH) as u64;
    for (from, to) in
        [(0, 1), (0, 16), (15, 17), (16, 32), (500, 777), (990, 1_000), (999, 1_500), (0, 1_000)]
    {
        let range = Range::of(from, to, ciphertext).unwrap();
        let fetch = range.fetch();
        let part = range.open(&keys(), &file[fetch.start as usize..fetch.end as usize]).unwrap();
        assert_eq!(part, &plain[from as usize..(to as usize).min(plain.len())], "{from}..{to}");
    }
    assert!(Range::of(5, 5, ciphertext).is_none());
    assert!(Range::of(ciphertext, ciphertext + 1, ciphertext).is_none());
    assert!(Range::of(0, 16, ciphertext).unwrap().open(&keys(), &file[..15]).is_none());
}

#[test]
fn proves_08_16_3_the_first_failed_check_is_the_error() {
    let plain = pattern(100);
    let (file, _) = seal(&keys(), &plain, false);
    let right = sums(&file, &plain);
    let cases: [(&[u8], Sums, OpenError); 4] = [
        (&file[..10], right, OpenError::TooShort),
        (&file[..file.len() - 1], right, OpenError::BadLength),
        (&file[16..], right, OpenError::EncHashMismatch),
        (&file, Sums { plain: [0; 32], ..right }, OpenError::PlainHashMismatch),
    ];
    for (bytes, sums, error) in cases {
        assert_eq!(open(&keys(), sums, bytes), Err(error));
        assert_eq!(error.is_copy(), error != OpenError::PlainHashMismatch);
    }
    assert_eq!(open(&keys(), right, &file), Ok(plain));
}

#[test]
fn a_key_is_neither_shown_nor_taken_at_another_length() {
    let key = MediaKey::from_slice(&[7; 32]).unwrap();
    assert_eq!(format!("{key:?} {:?}", key.expand(MediaKind::Image)), "MediaKey(..) Some(MediaKeys(..))");
    assert!(MediaKey::from_slice(&[7; 31]).is_none());
    assert!(key.expand(MediaKind::CatalogueImage).is_none());
}

#[test]
fn a_retry_goes_round_between_client_and_phone() {
    let key = MediaKey::from_slice(&[9; 32]).unwrap();
    let asked = retry::request(&key, "ID", &mut crate::crypto::os_rng()).unwrap();
    assert_eq!(retry::open_request(&key, "ID", &asked), Ok(()));
    assert_eq!(retry::open_request(&key, "OTHER", &asked), Err(retry::RetryError::DecryptFailed));
    let answers = [
        retry::Answer::Uploaded { direct_path: "/v/t?x".into() },
        retry::Answer::NotFound,
        retry::Answer::NotDecrypted,
        retry::Answer::General,
    ];
    for answer in answers {
        let sealed = retry::answer_under(&key, "ID", &answer, [1; 12]).unwrap();
        assert_eq!(retry::open_answer(&key, "ID", &sealed), Ok(answer));
    }
    let pathless =
        retry::answer_under(&key, "ID", &retry::Answer::Uploaded { direct_path: String::new() }, [1; 12]);
    assert_eq!(retry::open_answer(&key, "ID", &pathless.unwrap()), Err(retry::RetryError::Malformed));
}

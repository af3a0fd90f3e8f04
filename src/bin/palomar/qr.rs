//! QR pictures: in the terminal, as SVG, as PNG.

use qrcode::render::{svg, unicode::Dense1x2};
use qrcode::{Color, EcLevel, QrCode};

use crate::exit::Failure;

/// Side of a module in pictures.
const SCALE: usize = 8;
/// Quiet zone around a picture, in modules.
const MARGIN: usize = 4;

/// A QR text, encoded.
pub struct Picture(QrCode);

impl Picture {
    /// Encodes a text with error correction level L (02 §4).
    pub fn of(text: &str) -> Result<Self, Failure> {
        let code = QrCode::with_error_correction_level(text, EcLevel::L);
        code.map(Self).map_err(|e| Failure::failed(format!("the QR text can't be drawn: {e}")))
    }

    /// For a terminal: two modules a character. `colours` sets black on white whatever the terminal's theme is; without,
    /// a dark background is assumed.
    pub fn terminal(&self, colours: bool) -> String {
        let mut render = self.0.render::<Dense1x2>();
        if !colours {
            render.dark_color(Dense1x2::Light).light_color(Dense1x2::Dark);
        }
        let picture = render.quiet_zone(true).build();
        if !colours {
            return picture;
        }
        let lines = picture.lines().map(|line| format!("\u{1b}[30;107m{line}\u{1b}[0m"));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// As an SVG document.
    pub fn svg(&self) -> String {
        self.0.render::<svg::Color<'_>>().min_dimensions(240, 240).build()
    }

    /// As a PNG file: grey, one bit a pixel.
    pub fn png(&self) -> Result<Vec<u8>, Failure> {
        let modules = self.0.width();
        let side = (modules + 2 * MARGIN) * SCALE;
        let dark = |x: usize, y: usize| {
            let inside = |at: usize| (at / SCALE).checked_sub(MARGIN).filter(|&module| module < modules);
            matches!((inside(x), inside(y)), (Some(x), Some(y)) if self.0[(x, y)] == Color::Dark)
        };
        let row = |y: usize| {
            (0..side.div_ceil(8)).map(move |byte| {
                (0..8).fold(0_u8, |bits, bit| {
                    let x = byte * 8 + bit;
                    bits << 1 | u8::from(!(x < side && dark(x, y)))
                })
            })
        };
        let pixels: Vec<u8> = (0..side).flat_map(row).collect();
        let fail = |e: png::EncodingError| Failure::failed(format!("the PNG can't be made: {e}"));
        let side = u32::try_from(side).unwrap_or(u32::MAX);
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, side, side);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::One);
        encoder.write_header().and_then(|mut writer| writer.write_image_data(&pixels)).map_err(fail)?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "https://wa.me/settings/linked_devices#2@abc,QUJD,QUJD,QUJD,1";

    #[test]
    fn the_terminal_picture_is_square_and_has_a_quiet_zone() {
        let picture = Picture::of(TEXT).unwrap();
        let plain = picture.terminal(false);
        let lines: Vec<&str> = plain.lines().collect();
        let width = lines[0].chars().count();
        assert_eq!(width, picture.0.width() + 8);
        assert!(lines.iter().all(|line| line.chars().count() == width));
        assert!(lines[0].chars().all(|c| c == '█'), "the quiet zone is light on a dark terminal");
        assert!(picture.terminal(true).lines().all(|line| line.starts_with("\u{1b}[30;107m")));
    }

    #[test]
    fn the_png_shows_the_modules() {
        let picture = Picture::of(TEXT).unwrap();
        let file = picture.png().unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        let modules = picture.0.width();
        assert_eq!(info.width as usize, (modules + 2 * MARGIN) * SCALE);
        for (x, y) in (0..modules).flat_map(|x| (0..modules).map(move |y| (x, y))) {
            let (px, py) = ((x + MARGIN) * SCALE + SCALE / 2, (y + MARGIN) * SCALE + SCALE / 2);
            let bit = pixels[py * info.line_size + px / 8] >> (7 - px % 8) & 1;
            assert_eq!(bit == 0, picture.0[(x, y)] == Color::Dark, "{x},{y}");
        }
    }

    #[test]
    fn the_svg_is_a_document() {
        assert!(Picture::of(TEXT).unwrap().svg().contains("<svg"));
    }
}

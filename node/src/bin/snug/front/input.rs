//! Standard input as lines, read on a thread of its own: nothing that is asynchronous ever waits for a person.

use std::io::BufRead;

use tokio::sync::mpsc;

/// Lines that wait to be taken; beyond that the reader waits, and with it whoever writes to us.
const LINES: usize = 16;

/// A line of input.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// Its bytes, without the line end.
    Whole(Vec<u8>),
    /// It was longer than allowed; none of it is kept.
    TooLong,
}

/// Reads standard input until its end, when the channel closes. Lines over `max` bytes are skipped, not buffered.
pub fn lines(max: usize) -> mpsc::Receiver<Line> {
    let (sender, receiver) = mpsc::channel(LINES);
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        while let Ok(Some(line)) = read_line(&mut stdin, max) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The next line, or `None` at the end. A last line without its end counts.
fn read_line(input: &mut impl BufRead, max: usize) -> std::io::Result<Option<Line>> {
    let mut line = Vec::new();
    let (mut long, mut any) = (false, false);
    loop {
        let chunk = match input.fill_buf() {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if chunk.is_empty() {
            break;
        }
        any = true;
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = &chunk[..end.unwrap_or(chunk.len())];
        if line.len() + part.len() > max {
            long = true;
            line = Vec::new();
        } else if !long {
            line.extend_from_slice(part);
        }
        let used = end.map_or(chunk.len(), |end| end + 1);
        input.consume(used);
        if end.is_some() {
            break;
        }
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(any.then_some(if long { Line::TooLong } else { Line::Whole(line) }))
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn all(text: &[u8], max: usize) -> Vec<Line> {
        let mut input = BufReader::with_capacity(3, text);
        std::iter::from_fn(|| read_line(&mut input, max).unwrap()).collect()
    }

    #[test]
    fn lines_are_cut_at_their_ends_and_bounded() {
        let whole = |text: &str| Line::Whole(text.into());
        assert_eq!(all(b"one\r\n\ntwo", 9), [whole("one"), whole(""), whole("two")]);
        assert_eq!(
            all(b"12345\n123456\n1\n", 5),
            [whole("12345"), Line::TooLong, whole("1")]
        );
        assert_eq!(all(b"1234567890123", 5), [Line::TooLong]);
        assert_eq!(all(b"", 5), []);
    }
}

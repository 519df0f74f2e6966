//! As much of XML as routers speak: elements by their name, whatever their prefix, and the text in them. What can't be made sense of isn't there.

/// What is in each element of this name, in the order of the text; none of them is in another of the same name.
pub(super) fn elements<'a>(xml: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    let mut rest = xml;
    std::iter::from_fn(move || {
        loop {
            let (_, tag_on) = rest.split_once('<')?;
            let (tag, inside) = tag_on.split_once('>')?;
            rest = inside;
            if tag.ends_with('/') || local(tag) != name {
                continue;
            }
            let inner = until_closed(inside, name)?;
            rest = &inside[inner.len()..];
            return Some(inner);
        }
    })
}

/// The text of the first element of this name.
pub(super) fn text(xml: &str, name: &str) -> Option<String> {
    let inner = elements(xml, name).next()?.trim();
    (!inner.contains('<')).then(|| {
        let unescaped = [
            ("&lt;", "<"),
            ("&gt;", ">"),
            ("&quot;", "\""),
            ("&apos;", "'"),
            ("&amp;", "&"),
        ];
        (unescaped.iter()).fold(inner.to_owned(), |text, (from, to)| text.replace(from, to))
    })
}

fn until_closed<'a>(inside: &'a str, name: &str) -> Option<&'a str> {
    inside.match_indices("</").find_map(|(at, _)| {
        let (tag, _) = inside[at + 2..].split_once('>')?;
        (local(tag) == name).then(|| &inside[..at])
    })
}

/// The name of a tag, without its prefix and attributes.
fn local(tag: &str) -> &str {
    let whole = tag
        .split(|c: char| c.is_whitespace() || c == '/')
        .next()
        .unwrap_or_default();
    whole.rsplit(':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_by_name_whatever_their_prefix() {
        let xml = "<?xml version='1.0'?><a:list x='1'><u:one/><one k=\"v\">1</one>\n<u:one> 2 </u:one></a:list>";
        assert_eq!(elements(xml, "one").collect::<Vec<_>>(), ["1", " 2 "]);
        assert_eq!(text(xml, "one").as_deref(), Some("1"));
        assert_eq!(text(xml, "list"), None, "no text");
        assert_eq!(text("<e>a &amp;lt; b</e>", "e").as_deref(), Some("a &lt; b"));
    }

    #[test]
    fn what_is_broken_is_not_there() {
        for xml in [
            "",
            "<",
            "<one",
            "<one>",
            "<one>1</two>",
            "</one>",
            "<one>1</one",
            "text",
        ] {
            assert_eq!(elements(xml, "one").count(), 0, "{xml}");
        }
    }
}

//! Names of topics.

/// `<prefix>.<path joined with '.'>`, as Debezium's naming strategies build it: every character
/// that Kafka does not allow becomes an underscore, one for each UTF-16 unit because Debezium
/// walks Java's chars.
#[must_use]
pub fn topic_name(prefix: &str, path: &[String]) -> String {
    let mut name = String::new();
    for (index, part) in std::iter::once(prefix).chain(path.iter().map(String::as_str)).enumerate()
    {
        if index > 0 {
            name.push('.');
        }
        for c in part.chars() {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
                name.push(c);
            } else {
                name.extend(std::iter::repeat_n('_', c.len_utf16()));
            }
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::topic_name;

    fn check(path: &[&str], name: &str) {
        let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
        assert_eq!(topic_name("shop", &path), name);
    }

    #[test]
    fn topics_are_named_after_prefix_and_path() {
        check(&["public", "orders"], "shop.public.orders");
        check(&["message"], "shop.message");
        check(&["Other Schema", "Odd.Table-Näme"], "shop.Other_Schema.Odd.Table-N_me");
        check(&["public", "x😀"], "shop.public.x__");
    }
}

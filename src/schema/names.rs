//! What Debezium does to names before they become names of schemas and fields.

/// How names of schemas and fields are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameAdjustment {
    /// `schema.name.adjustment.mode=none`, Debezium's default: as they are.
    None,
    /// `avro`: every character that Avro does not allow becomes an underscore. The Avro form needs
    /// it; Debezium's users set it for schemas and fields together.
    Avro,
}

impl NameAdjustment {
    /// The full name of a schema. Dots stay: they part Avro's namespace from its name.
    #[must_use]
    pub fn schema_name(self, name: &str) -> String {
        match self {
            Self::None => name.to_owned(),
            Self::Avro => underscored(name, |c| c == '.'),
        }
    }

    #[must_use]
    pub fn field_name(self, name: &str) -> String {
        match self {
            Self::None => name.to_owned(),
            Self::Avro => underscored(name, |_| false),
        }
    }
}

/// One underscore for each UTF-16 unit that is not allowed, because Debezium walks Java's chars.
/// A leading digit is kept behind an underscore. Only the first character of the *full* name is
/// looked at: Debezium lets a later part of the namespace start with a digit.
fn underscored(name: &str, also_allowed: impl Fn(char) -> bool) -> String {
    let mut adjusted = String::with_capacity(name.len() + 1);
    for (index, c) in name.chars().enumerate() {
        if c == '_' || c.is_ascii_alphabetic() || (index > 0 && also_allowed(c)) {
            adjusted.push(c);
        } else if c.is_ascii_digit() {
            if index == 0 {
                adjusted.push('_');
            }
            adjusted.push(c);
        } else {
            adjusted.extend(std::iter::repeat_n('_', c.len_utf16()));
        }
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::NameAdjustment;

    fn check(name: &str, schema: &str, field: &str) {
        assert_eq!(NameAdjustment::Avro.schema_name(name), schema);
        assert_eq!(NameAdjustment::Avro.field_name(name), field);
        assert_eq!(NameAdjustment::None.schema_name(name), name);
        assert_eq!(NameAdjustment::None.field_name(name), name);
    }

    #[test]
    fn names_that_avro_refuses_get_underscores() {
        check("id", "id", "id");
        check("col name", "col_name", "col_name");
        check("sélect", "s_lect", "s_lect");
        check("a-b", "a_b", "a_b");
        check("1st", "_1st", "_1st");
        check(
            "shop.Other_Schema.Odd.Table-N_me",
            "shop.Other_Schema.Odd.Table_N_me",
            "shop_Other_Schema_Odd_Table_N_me",
        );
        check("x😀", "x__", "x__");
    }
}

//! A walk over the words of a statement. `None` anywhere means: not understood.

use super::tokens::{self, Token};
use super::{Dialect, Name};

pub(super) struct Cursor<'t> {
    tokens: Vec<Token<'t>>,
    at: usize,
    pub(super) dialect: Dialect,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(text: &'t str, dialect: Dialect) -> Option<Self> {
        Some(Self { tokens: tokens::tokens(text, dialect)?, at: 0, dialect })
    }

    pub(super) fn peek(&self) -> Option<&Token<'t>> {
        self.tokens.get(self.at)
    }

    pub(super) fn next(&mut self) -> Option<Token<'t>> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    /// Runs what must take at least one word.
    pub(super) fn onward<T>(&mut self, step: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let before = self.at;
        step(self).filter(|_| self.at > before)
    }

    pub(super) fn at_end(&self) -> bool {
        self.peek().is_none() || (self.is_sign(';') && self.at + 1 == self.tokens.len())
    }

    pub(super) fn is(&self, keyword: &str) -> bool {
        self.is_at(0, keyword)
    }

    pub(super) fn is_at(&self, ahead: usize, keyword: &str) -> bool {
        let token = self.tokens.get(self.at + ahead);
        matches!(token, Some(Token::Word(word)) if word.eq_ignore_ascii_case(keyword))
    }

    pub(super) fn is_any(&self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.is(keyword))
    }

    pub(super) fn is_sign(&self, sign: char) -> bool {
        self.peek() == Some(&Token::Sign(sign))
    }

    /// Takes the key word if it is next.
    pub(super) fn word(&mut self, keyword: &str) -> bool {
        let found = self.is(keyword);
        self.at += usize::from(found);
        found
    }

    /// Takes all of the key words if they are next.
    pub(super) fn words(&mut self, keywords: &[&str]) -> bool {
        let found = keywords.iter().enumerate().all(|(ahead, keyword)| self.is_at(ahead, keyword));
        self.at += if found { keywords.len() } else { 0 };
        found
    }

    pub(super) fn any(&mut self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.word(keyword))
    }

    pub(super) fn sign(&mut self, sign: char) -> bool {
        let found = self.is_sign(sign);
        self.at += usize::from(found);
        found
    }

    pub(super) fn must(&mut self, keyword: &str) -> Option<()> {
        self.word(keyword).then_some(())
    }

    pub(super) fn must_sign(&mut self, sign: char) -> Option<()> {
        self.sign(sign).then_some(())
    }

    /// A name, in quotes or not.
    pub(super) fn name(&mut self) -> Option<String> {
        match self.next()? {
            Token::Word(word) => Some(word.to_owned()),
            Token::Name(name) => Some(name),
            Token::Text(_) | Token::Number(_) | Token::Bits(_) | Token::Hex(_) | Token::Sign(_) => {
                None
            }
        }
    }

    /// `[database.]table`
    pub(super) fn table(&mut self) -> Option<Name> {
        let first = self.name()?;
        if !self.sign('.') {
            return Some(Name { database: None, table: first });
        }
        Some(Name { database: Some(first), table: self.name()? })
    }

    /// A name, a text or a word, as options have them.
    pub(super) fn value(&mut self) -> Option<String> {
        match self.next()? {
            Token::Word(text) | Token::Number(text) => Some(text.to_owned()),
            Token::Name(text) | Token::Text(text) => Some(text),
            Token::Bits(_) | Token::Hex(_) | Token::Sign(_) => None,
        }
    }

    pub(super) fn text(&mut self) -> Option<String> {
        match self.next()? {
            Token::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn number(&mut self) -> Option<u32> {
        match self.next()? {
            Token::Number(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    /// `IF EXISTS`
    pub(super) fn if_exists(&mut self) -> bool {
        self.words(&["IF", "EXISTS"])
    }

    /// Passes over what stands in parentheses, which are next.
    pub(super) fn parentheses(&mut self) -> Option<()> {
        self.must_sign('(')?;
        let mut depth = 1;
        while depth > 0 {
            match self.next()? {
                Token::Sign('(') => depth += 1,
                Token::Sign(')') => depth -= 1,
                _ => {}
            }
        }
        Some(())
    }

    /// Passes over everything up to a comma or a closing parenthesis that is not ours.
    pub(super) fn rest_of_item(&mut self) -> Option<()> {
        while let Some(token) = self.peek() {
            match token {
                Token::Sign(',' | ')') => return Some(()),
                Token::Sign('(') => self.parentheses()?,
                Token::Sign(';') if self.at_end() => return Some(()),
                _ => self.at += 1,
            }
        }
        Some(())
    }
}

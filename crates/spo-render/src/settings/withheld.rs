//! Asking for things, and writing down what is not granted.

use crate::Withheld;

/// What has been asked for and was not granted.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    pub(crate) withheld: Vec<Withheld>,
}

/// One thing, and who asks for it.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    requests: &'a mut Requests,
    /// The first that asks.
    by: Option<String>,
}

impl Requests {
    /// A request by a field, if `asked`.
    pub(crate) fn ask(&mut self, field: &str, asked: bool) -> Request<'_> {
        Request {
            requests: self,
            by: asked.then(|| field.to_owned()),
        }
    }
}

impl Request<'_> {
    /// The same by a variable of the environment, if `asked`.
    pub(crate) fn or(mut self, variable: &str, asked: bool) -> Self {
        let by = asked.then(|| variable.to_owned());
        self.by = self.by.or(by);
        self
    }

    /// Whether it was asked for and there is it; writes down when it was and there is not.
    pub(crate) fn granted(self, available: bool, otherwise: &str) -> bool {
        let asked = self.by.is_some();
        if let Some(field) = self.by.filter(|_| !available) {
            self.requests.withheld.push(Withheld {
                field,
                reason: otherwise.to_owned(),
            });
        }
        asked && available
    }
}

//! Listings: what is in a bucket, page by page.

use std::borrow::Cow;
use std::mem::take;

use aws_sdk_s3::types::{EncodingType, OptionalObjectAttributes};
use tokio::try_join;

use super::failure::{Failure, FailureKind};
use super::page::{Found, Page, Whole};
use super::route::List;
use super::{Bucket, is_archived, size};
use crate::error::Result;
use crate::source::{Choice, Entry, Listing, Object};

impl Bucket {
    pub fn covers(&self, name: &str) -> bool {
        name == self.name(&self.prefix) || name.starts_with(&self.name(&self.folder()))
    }

    /// What the keys of all that lies in the folder start with.
    fn folder(&self) -> Cow<'_, str> {
        match self.prefix.is_empty() || self.prefix.ends_with('/') {
            true => Cow::Borrowed(&self.prefix),
            false => Cow::Owned(format!("{}/", self.prefix)),
        }
    }

    pub async fn list(&self, choice: &Choice) -> Result<Listing> {
        let folder = self.folder();
        let mut listing = Listing::default();
        let all = self.each_under(&folder, |entry| listing.add(entry, folder.len(), choice));
        let named = match folder == self.prefix {
            true => {
                all.await?;
                None
            }
            false => try_join!(all, Box::pin(self.named()))?.1,
        };
        if let Some(entry) = named {
            listing.add(entry, self.prefix.len(), choice);
        }
        Ok(listing.sorted())
    }

    /// The object that the prefix is the key of, if there is one.
    async fn named(&self) -> Result<Option<Entry>> {
        let (key, name) = (self.prefix.clone(), self.name(&self.prefix));
        match self.head(&key).await {
            Ok(found) => {
                let (size, archived) = (size(found.content_length()), is_archived(&found));
                let etag = found.e_tag.unwrap_or_default();
                Ok(Some(Entry { name, key, size, etag, archived }))
            }
            // Whoever may list the folder need not be told whether there is an object beside it.
            Err(failure) if failure.kind == FailureKind::Lasting => Ok(None),
            Err(failure) => Err(failure.error(format!("can't read {name}"))),
        }
    }

    /// Whether `object` is listed still, in the version that it names.
    pub async fn lists(&self, object: &Object) -> Result<bool> {
        // Where a server does not take a key for what it is, it may not take it for what it is here either.
        let key = self.key(&object.name);
        let is_plain = |it: char| it.is_ascii_alphanumeric() || "/-_.".contains(it);
        let plain = key.find(|it| !is_plain(it)).unwrap_or(key.len());
        let prefix = &key[..plain.max(self.folder().len()).min(key.len())];
        let mut is_listed = false;
        let each = |entry: Entry| {
            is_listed |= *entry.name == *object.name
                && (entry.size, &*entry.etag) == (object.size, &object.etag);
        };
        self.each_under(prefix, each).await?;
        Ok(is_listed)
    }

    /// All objects whose keys start with `prefix`.
    pub async fn list_under(&self, prefix: &str) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        self.each_under(prefix, |entry| entries.push(entry)).await?;
        Ok(entries)
    }

    /// Hands all objects whose keys start with `prefix` to `each`.
    async fn each_under(&self, prefix: &str, mut each: impl FnMut(Entry)) -> Result<()> {
        let place = self.name(prefix);
        let mut token = None;
        loop {
            let page = self.page(prefix, token.as_deref()).await;
            let mut page = page.map_err(|failure| failure.error(format!("can't list {place}")))?;
            for Found { key, size, etag, archived } in take(&mut page.found) {
                let Some(key) = page.key(key).filter(|key| !key.is_empty()) else {
                    return Err(self
                        .purpose
                        .error(format!("a key under {place} is empty or not UTF-8")));
                };
                each(Entry { name: self.name(&key), key, size, etag, archived });
            }
            match page.is_truncated() {
                false => return Ok(()),
                true if page.token.is_some() && page.token != token => token = page.token,
                true => {
                    return Err(self
                        .purpose
                        .error(format!("can't list all of {place}"))
                        .because("the server does not say where its listing goes on"));
                }
            }
        }
    }

    /// Asks for the objects whose keys start with `prefix`, from where the page before ended.
    async fn page(&self, prefix: &str, token: Option<&str>) -> Result<Page, Failure> {
        if let Some(route) = self.route() {
            let list = List { prefix, token, payer: self.request_payer.is_some() };
            return self.ask(&mut self.retry.attempts(), || route.list(&list)).await;
        }
        let page = self.page_by_sdk(prefix, token).await;
        match self.route() {
            // The request that has shown it was not sent.
            Some(_) => Box::pin(self.page(prefix, token)).await,
            None => page,
        }
    }

    async fn page_by_sdk(&self, prefix: &str, token: Option<&str>) -> Result<Page, Failure> {
        let send = || {
            self.client
                .list_objects_v2()
                .bucket(&self.bucket)
                .prefix(prefix)
                .set_continuation_token(token.map(str::to_owned))
                // Keys may hold characters that XML can't.
                .encoding_type(EncodingType::Url)
                .optional_object_attributes(OptionalObjectAttributes::RestoreStatus)
                .set_request_payer(self.request_payer.clone())
                .customize()
                .interceptor(self.scout())
                .interceptor(Whole)
                .send()
        };
        self.ask(&mut self.retry.attempts(), send).await.map(Page::from)
    }
}
